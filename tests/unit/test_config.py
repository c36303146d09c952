"""Settings: presets parse, overrides reach their place, mistakes are refused with the remedy."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

import config
from config import (
    PRESETS,
    ROOT,
    Crop,
    DecoderConfig,
    EncDecConfig,
    EncoderConfig,
    GanConfig,
    ImageAugmentation,
    ImageLoss,
    Loop,
    MeshConfig,
    Optim,
    Pairing,
    Paths,
    PointsTeaching,
    PoseConfig,
    PoseHeadConfig,
    PreprocessConfig,
    Subjects,
)
from dataset_def.multiview.settings import ImportMultiviewConfig
from dataset_def.photos.person import SegmentationConfig
from dataset_def.synthetic.make_h36m import HardPictures, SyntheticConfig
from models.open_body.build import OpenBodyConfig
from sample.make_figures import FiguresConfig
from sample.save_embeddings import EmbeddingsConfig
from sample.test_enc_dec import TestEncDecConfig as EncDecTestConfig  # pytest would take it for a class of tests
from sample.test_pose import TestPoseConfig as PoseTestConfig
from sample.tools.label_curve import LabelCurveConfig
from sample.tools.probe_points import ProbeConfig
from utils.settings import config_from_dict, flags, parse, to_plain

STAGES = [
    stage
    for stage in vars(config).values()
    if isinstance(stage, type) and dataclasses.is_dataclass(stage) and stage.__name__.endswith("Config")
]


def test_defaults_are_the_demo():
    """Scripts begin with the preset; the settings' own defaults, which old files are read with, are preset views."""
    demo, views = PRESETS["demo"](), PRESETS["views"]()
    for stage in (demo.enc_dec, demo.gan, demo.preprocess):
        assert parse(type(stage), []) == stage
    for stage in (demo.pose, demo.mesh):
        assert parse(type(stage), ["--encoder", "a.pt"]) == dataclasses.replace(stage, encoder=Path("a.pt"))
    assert demo.enc_dec.teaching.by == "masks" and demo.pose.mode == demo.mesh.mode == "finetune"
    own = [views.enc_dec, views.gan, dataclasses.replace(views.pose, encoder=None, mode="scratch"),
           dataclasses.replace(views.mesh, encoder=None, mode="scratch")]  # fmt: skip
    assert own == [EncDecConfig(name="views"), GanConfig(name="views"),
                   PoseConfig(None, "views", mode="scratch"),
                   MeshConfig(None, name="views", mode="scratch")]  # fmt: skip


def test_an_earlier_name_of_a_preset_goes_on_under_that_name():
    for stage, arguments in ((EncDecConfig, []), (PoseConfig, ["--encoder", "a.pt"]), (GanConfig, [])):
        earlier = parse(stage, ["--preset", "heatmaps", *arguments])
        assert earlier == dataclasses.replace(parse(stage, arguments), name="heatmaps")
    assert parse(EncDecConfig, ["--preset", "heatmaps", "--name", "mine"]).name == "mine"


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_parses(name):
    chosen = parse(EncDecConfig, ["--preset", name])
    assert chosen == PRESETS[name]().enc_dec and chosen.name == name
    assert parse(PoseConfig, ["--preset", name, "--encoder", "a.pt"]).encoder == Path("a.pt")
    assert parse(MeshConfig, ["--preset", name, "--encoder", "a.pt"]).name == chosen.name
    assert parse(GanConfig, ["--preset", name]).name == name


def test_no_encoder_is_a_word_on_the_command_line():
    chosen = parse(PoseConfig, ["--encoder", "none", "--mode", "scratch"])
    assert chosen.encoder is None and chosen.untrained.encoder.kind == "heatmaps"
    assert config_from_dict(PoseConfig, to_plain(chosen)) == chosen


def test_presets_differ():
    configs = [preset().enc_dec for preset in PRESETS.values()]
    assert len({str(to_plain(dataclasses.replace(one, name=""))) for one in configs}) == len(configs)


def test_overrides_change_their_setting_only():
    changed = parse(EncDecConfig, ["--optim.lr", "3e-4", "--subjects.train", "5", "6", "--preset", "full"])
    expected = PRESETS["full"]().enc_dec
    expected = dataclasses.replace(
        expected,
        optim=dataclasses.replace(expected.optim, lr=3e-4),
        subjects=dataclasses.replace(expected.subjects, train=(5, 6)),
    )
    assert changed == expected


@pytest.mark.parametrize("arguments", [["--optim.learning", "3"], ["--nonsense"], ["--optim.steps", "many"],
                                       ["--crop.centre", "nose"]])  # fmt: skip
def test_unknown_settings_and_values_are_refused(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        parse(EncDecConfig, arguments)
    assert stop.value.code == 2
    printed = capsys.readouterr()
    assert arguments[0].lstrip("-") in printed.err + printed.out


def test_an_unknown_preset_is_refused():
    with pytest.raises(ValueError, match="no preset 'huge'; use one of demo, views, novel_views, full, rhodin, seed"):
        parse(EncDecConfig, ["--preset", "huge"])


def test_a_needed_file_must_be_named(capsys):
    with pytest.raises(SystemExit):
        parse(PoseConfig, [])
    assert "encoder" in capsys.readouterr().err


CONTRADICTIONS = {
    "test subject trained on": (lambda: Subjects(train=(1, 9)), r"\[9\].*subjects.train.*subjects.test"),
    "test subject labelled": (lambda: Subjects(labelled=(11,)), r"\[11\].*subjects.labelled.*subjects.test"),
    "odd crop": (lambda: Crop(size_px=65), "crop.size_px is 65; use a multiple of 16"),
    "crop of a house": (lambda: Crop(side_m=30), "crop.side_m is 30"),
    "no steps": (lambda: Optim(steps=0), "optim.steps is 0"),
    "resume and overwrite": (lambda: Loop(resume=True, overwrite=True), r"loop.resume and loop.overwrite"),
    "appearance at points from the geometry's trunk": (
        lambda: EncoderConfig(appearance_at="points", own_appearance_encoder=False),
        "encoder.appearance_at points needs encoder.own_appearance_encoder",
    ),
    "opacity that nothing draws": (
        lambda: EncDecConfig(decoder=DecoderConfig(composite=False)),
        "loss.opacity is 0.1, but decoder.composite is off",
    ),
    "composite paper": (lambda: DecoderConfig(kind="paper"), "decoder.composite needs decoder.kind compact"),
    "shuffled colours": (
        lambda: EncDecConfig(encoder=EncoderConfig(own_appearance_encoder=False)),
        r"augment.permute_channels needs encoder.own_appearance_encoder",
    ),
    "embeddings unnamed": (
        lambda: PoseConfig(Path("a"), mode="embeddings"),
        "embeddings is None: mode embeddings needs",
    ),
    "a protocol of others": (
        lambda: PoseTestConfig(Path("a"), subjects=(9,), every=2, protocol="rhodin"),
        r"protocol rhodin says itself .* subjects is \(9,\), every is 2; leave out --subjects "
        "--every, or --protocol",
    ),
    "a protocol of other crops": (
        lambda: PoseTestConfig(Path("a"), centre="masks", protocol="spin_p1"),
        "centre is masks; leave out --centre, or --protocol",
    ),
    "a rolled protocol": (lambda: PoseTestConfig(Path("a"), roll_rad=0.3, protocol="seed"), "out --roll-rad, or"),
    "embeddings unused": (lambda: PoseConfig(Path("a"), embeddings=Path("e")), "mode is frozen and embeddings is e"),
    "motion": (lambda: SyntheticConfig(motion="dance"), "'generator' or 'cmu:<folder>'"),
    "neither easy nor hard": (lambda: SyntheticConfig(difficulty="odd"), "difficulty is 'odd'; use easy or hard"),
    "hard settings of easy pictures": (
        lambda: SyntheticConfig(hard=HardPictures(shadows=0.5)),
        r"shadows=0.5.* but difficulty is easy.* set --difficulty hard",
    ),
    "looser than all": (lambda: HardPictures(loose=1.5), "hard.loose is 1.5; use 0 to 1"),
    "another rig": (lambda: HardPictures(rig="six"), "hard.rig is 'six'; use human36m or varied"),
    "more bent than lenses": (lambda: HardPictures(distortion=2), "hard.distortion is 2; use 0 to 1"),
    "darker than shadows": (lambda: HardPictures(shadows=2), "hard.shadows is 2; use 0 to 1"),
    "no copies": (lambda: EmbeddingsConfig(Path("a"), copies=0), "copies is 0; use at least 1"),
    "never logs": (lambda: Loop(log_every=0), "loop.log_every is 0; use at least 1"),
    "never looks": (lambda: Loop(validate_every=0), "loop.validate_every is 0; use at least 1"),
    "never saves": (lambda: Loop(checkpoint_every=-5), "loop.checkpoint_every is -5; use at least 1"),
    "fewer than no workers": (lambda: Loop(workers=-1), "loop.workers is -1; use at least 0"),
    "fewer than no threads": (lambda: Loop(threads=-1), "loop.threads is -1; use at least 0"),
    "fewer than no processes": (lambda: PreprocessConfig(processes=-1), "processes is -1; use at least 0"),
    "no step size": (lambda: Optim(lr=0), "optim.lr is 0; use at least 1e-09"),
    "odd masks": (lambda: MeshConfig(Path("a"), mask_px=40), "mask_px is 40; use a multiple of 16, at least 32"),
    "small masks": (lambda: MeshConfig(Path("a"), mask_px=16), "mask_px is 16; use 32 to 4096"),
    "coarse body": (lambda: OpenBodyConfig(num_vertices=10), "num_vertices is 10; use 1000 to 12000"),
    "no outfit": (lambda: SyntheticConfig(outfits=0), "outfits is 0; use at least 1"),
    "subject of Human3.6M": (lambda: ImportMultiviewConfig(subject=5), "subject is 5; use at least 12"),
    "example 0": (
        lambda: FiguresConfig(enc_dec=Path("a"), pose=Path("b"), mesh=Path("c"), overview=(0, 1)),
        r"overview is \(0, 1\); examples are counted from 1",
    ),
    "negative clip": (lambda: Optim(gradient_clip=-1), "optim.gradient_clip is -1; use at least 0"),
    "no groups": (lambda: EncDecConfig(groups=0), "groups is 0; use at least 1"),
    "more than all": (lambda: Pairing(same_view=7), "pairing.same_view is 7; use 0 to 1"),
    "negative roll": (lambda: ImageAugmentation(roll_rad=-1), "augment.roll_rad is -1; use 0 to 3.14"),
    "more colour than all": (lambda: ImageAugmentation(colour=2), "augment.colour is 2; use 0 to 1"),
    "half a turn is enough": (lambda: ImageAugmentation(roll_rad=20), "augment.roll_rad is 20; use 0 to 3.14"),
    "nobody counts": (lambda: ImageLoss(person=-3), "loss.person is -3"),
    "negative weight": (lambda: ImageLoss(opacity=-1), "loss.opacity is -1; use at least 0"),
    "not a number": (lambda: ImageLoss(pixels=float("nan")), "loss.pixels is nan"),
    "no channels": (lambda: EncoderConfig(width=0), "encoder.width is 0; use 1 to 4096"),
    "no points": (lambda: EncoderConfig(points=0), "encoder.points is 0; use 1 to 65536"),
    "no appearance": (lambda: EncoderConfig(appearance=0), "encoder.appearance is 0; use 1 to 65536"),
    "everything dropped": (lambda: EncoderConfig(dropout=1), "encoder.dropout is 1; use 0 to 0.99"),
    "thin decoder": (lambda: DecoderConfig(width=0), "decoder.width is 0; use 4 to 4096"),
    "negative layers": (lambda: PoseHeadConfig(layers=-1), "head.layers is -1; use 0 to 64"),
    "batch norm of one": (lambda: PoseConfig(Path("a"), batch=1), "batch is 1; use at least 2"),
    "no images at once": (lambda: EmbeddingsConfig(Path("a"), batch=0), "batch is 0; use at least 1"),
    "not one whole group": (lambda: EncDecTestConfig(Path("a"), batch=3), "batch is 3; use at least 4"),
    "no pairs": (lambda: EncDecTestConfig(Path("a"), max_pairs=0), "max_pairs is 0; use at least 1"),
    "one example": (lambda: EncDecTestConfig(Path("a"), examples=1), "examples is 1; use at least 2"),
    "every 0th test frame": (lambda: PoseTestConfig(Path("a"), every=0), "every is 0; use at least 1"),
    "test images by none": (lambda: PoseTestConfig(Path("a"), batch=0), "batch is 0; use at least 1"),
    "every 0th of the curve": (lambda: LabelCurveConfig((Path("a"),), every=0), "every is 0; use at least 1"),
    "curve without steps": (lambda: LabelCurveConfig((Path("a"),), steps=0), "steps is 0"),
    "choosers who are tested": (
        lambda: Subjects(validation=(9,)),
        r"\[9\] are in subjects.validation and in subj.*test",
    ),
    "choosers who train": (
        lambda: Subjects(validation=(5,)),
        r"\[5\] are in subjects.train and in subj.*validation",
    ),
    "priors that nobody chooses": (lambda: ProbeConfig(Path("a"), prior_images=(1.0, 2.0)), "2 values, and nobody"),
    "every 0th frame": (lambda: PreprocessConfig(every=0), "every is 0; use at least 1"),
    "pretrained on others": (
        lambda: EncDecConfig(encoder=EncoderConfig(kind="efficientnet_lite0"), normalise="none"),
        "starts from ImageNet weights, but normalise is none",
    ),
    "pretrained on others, again": (
        lambda: EncDecConfig(encoder=EncoderConfig(kind="resnet50"), normalise="seed"),
        "starts from ImageNet weights, but normalise is seed",
    ),
    "opacity of nothing": (
        lambda: EncDecConfig(decoder=DecoderConfig(kind="paper", composite=False)),
        "loss.opacity is 0.1, but decoder.composite is off",
    ),
    "points dropped": (lambda: EncoderConfig(kind="heatmaps", dropout=0.3), "finds points.*set encoder.dropout 0"),
    "half a place": (
        lambda: EncDecConfig(encoder=EncoderConfig(kind="heatmaps"), crop=Crop(size_px=48)),
        "crop.size_px is 48; encoder.kind heatmaps needs a multiple of 32",
    ),
    "nothing to freeze": (lambda: PoseConfig(Path("none")), "mode is frozen, but encoder is none.*--mode scratch"),
    "pictures that nobody sees": (lambda: ImageAugmentation(pictures=Path("p")), "augment.background is 0, so nothing"),
    "pictures in stage 1": (
        lambda: EncDecConfig(
            encoder=EncoderConfig(kind="heatmaps", appearance_at="points"),
            teaching=PointsTeaching(by="masks"),
            augment=ImageAugmentation(background=0.5, pictures=Path("p")),
        ),
        "augment.pictures is for stages 2 and 4",
    ),
    "mirrors in stage 1": (lambda: EncDecConfig(augment=ImageAugmentation(mirror=0.5)), "are not for stage 1"),
    "no figures": (lambda: FiguresConfig(), "give --enc-dec"),
    "no encoders": (lambda: LabelCurveConfig(stage_1=()), "at least one"),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_contradictions_are_refused(name):
    make, problem = CONTRADICTIONS[name]
    with pytest.raises(ValueError, match=problem):
        make()


def test_a_contradiction_on_the_command_line_is_one_sentence():
    script = "from config import EncDecConfig; from utils.settings import start; start(print, EncDecConfig)"
    command = [sys.executable, "-c", script, "--loop.resume", "--loop.overwrite"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and "loop.resume and loop.overwrite contradict" in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


def test_a_setting_that_an_edit_misspells_is_named(monkeypatch):
    monkeypatch.setitem(PRESETS, "demo", lambda: dataclasses.replace(Optim(), step=3))
    with pytest.raises(ValueError, match=r"preset demo of config.py is broken: .*unexpected keyword argument 'step'"):
        parse(EncDecConfig, [])


@pytest.mark.parametrize("written, folder", {'"~/mine"': Path.home() / "mine", 'Path("/data")': Path("/data")}.items())
def test_the_line_that_says_where_the_data_is_may_be_text(written, folder, tmp_path):
    text = (ROOT / "config.py").read_text().replace("DATASET = EMBEDDED", f"DATASET = {written}")
    (tmp_path / "config.py").write_text(text)
    command = [sys.executable, "-c", "import config; print(config.Paths().index_location)"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)})
    assert done.stdout.strip() == str(folder / "index"), done.stderr


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.__name__)
def test_settings_cannot_be_changed_afterwards(stage):
    assert stage.__dataclass_params__.frozen and stage.__doc__


def test_help_writes_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        parse(EncDecConfig, ["--help"])
    assert stop.value.code == 0 and "ImageNet feature difference" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_a_data_sets_folder_is_one_flag_and_each_place_can_still_be_given():
    chosen = parse(EncDecConfig, ["--dataset", "data/real", "--optim.steps", "7"])
    assert chosen.paths == Paths.under(Path("data/real")) and chosen.optim.steps == 7
    assert chosen.paths.h36m_location == Path("data/real/frames")
    assert chosen.paths.runs_location == Paths().runs_location
    for masks in (["--paths.masks-location", "m"], ["--paths.masks_location=m"]):
        one = parse(PoseConfig, ["--encoder", "a.pt", *masks, "--dataset=d"]).paths
        assert one.masks_location == Path("m") and one.index_location == Path("d/index")


def test_a_script_that_reads_no_data_refuses_a_data_set():
    with pytest.raises(ValueError, match="--dataset is d, but this script reads no data set; leave it out"):
        parse(SegmentationConfig, ["--dataset", "d"])


def test_help_names_the_flag_of_a_data_set(capsys):
    for stage in (EncDecConfig, EncDecTestConfig):
        with pytest.raises(SystemExit):
            parse(stage, ["--help"])
        assert "--dataset FOLDER" in capsys.readouterr().out


def test_places_are_written_as_a_user_would_type_them():
    real = Paths.under(Path("data/real"))
    assert flags(Paths()) == "" and flags(real) == " --dataset data/real"
    assert parse(EncDecConfig, flags(real).split()).paths == real
    moved = dataclasses.replace(real, masks_location=Path("m"), runs_location=Path("r"))
    assert "--dataset" not in flags(moved) and parse(EncDecConfig, flags(moved).split()).paths == moved
    assert flags(dataclasses.replace(Paths(), runs_location=Path("r"))) == " --paths.runs-location r"
    assert flags(moved, "masks_location") == " --paths.masks-location m"


NEUTRAL = "basicModel_neutral_lbs_10_207_0_v1.0.0.pkl"
MALE, FEMALE = "basicmodel_m_lbs_10_207_0_v1.1.0.pkl", "basicmodel_f_lbs_10_207_0_v1.1.0.pkl"


@pytest.mark.parametrize(
    ("names", "taken"),
    [
        ([NEUTRAL], NEUTRAL),
        (["SMPL_NEUTRAL.npz", "SMPL_MALE.npz", "SMPL_FEMALE.npz"], "SMPL_NEUTRAL.npz"),
        (["smpl/SMPL_NEUTRAL.pkl", "smpl/SMPL_MALE.pkl"], "smpl/SMPL_NEUTRAL.pkl"),
        ([f"SMPL_python_v.1.1.0/smpl/models/{name}" for name in (MALE, FEMALE, NEUTRAL)],
         f"SMPL_python_v.1.1.0/smpl/models/{NEUTRAL}"),
        ([MALE, "J_regressor_h36m_correct.npy", "README.txt"], MALE),
    ],
)  # fmt: skip
def test_smpls_file_is_found_in_its_folder(tmp_path, names, taken):
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert Paths(models_smpl_location=tmp_path).models_smpl_location == tmp_path / taken
    flag = ["--paths.models-smpl-location", str(tmp_path)]
    assert parse(EncDecConfig, flag).paths.models_smpl_location == tmp_path / taken


@pytest.mark.parametrize("names", [(MALE, FEMALE), ("SMPL_NEUTRAL.pkl", "SMPL_NEUTRAL.npz")])
def test_of_several_bodies_the_user_is_asked(tmp_path, names):
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match=r"holds several bodies \(.*\); give one of these files as") as refused:
        Paths(models_smpl_location=tmp_path)
    assert all(name in str(refused.value) for name in names)


def test_a_folder_without_a_body_is_refused_with_the_names_that_are_known(tmp_path):
    (tmp_path / "SMPL.pdf").touch()
    with pytest.raises(FileNotFoundError, match="holds no file of SMPL"):
        Paths(models_smpl_location=tmp_path)


def test_help_shows_what_a_setting_may_be(capsys):
    with pytest.raises(SystemExit):
        parse(EncDecConfig, ["--help"])
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for flag in (
        "--groups INT (at least 1)",
        "--decoder.dropout FLOAT (0 to 0.99)",
        "--loss.person FLOAT (at least 0.01)",
    ):
        assert flag in text, flag


def test_a_range_that_a_command_leaves_is_named_with_its_group():
    with pytest.raises(SystemExit):
        parse(EncDecConfig, ["--decoder.dropout", "2"])
    with pytest.raises(ValueError, match=r"^decoder\.dropout is 2; use 0 to 0\.99$"):
        DecoderConfig(dropout=2)
