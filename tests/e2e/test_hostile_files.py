"""Files that are well formed around one hostile part end in one sentence, as damaged ones do.

Changed bytes (test_fuzz.py) seldom get past a checksum or a parser.  Here the part that lies is built: headers that
promise terabytes, nests, odd numbers, archives whose index lies, pickles of arrays that are none.
"""

import io
import json
import math
import pickle
import struct
import sys
import zipfile
import zlib

import numpy as np
import pytest
import torch

pytest.importorskip("hypothesis", reason='hypothesis is not installed (pip install -e ".[dev]")')
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.benchmarks.fuzz import tried, within_limits
from tests.helpers.file_readers import READERS
from tests.helpers.mutations import NUMBER

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits itself as Linux does"),
    pytest.mark.filterwarnings("ignore:Duplicate name", "ignore::RuntimeWarning", "ignore:Validating"),
]

quick = settings(max_examples=40, derandomize=True, deadline=None, database=None,
                 suppress_health_check=list(HealthCheck), phases=(Phase.generate, Phase.shrink))  # fmt: skip
ARRAYS = ("index", "keypoints_npz", "pack", "pseudo_labels", "predictions", "bodies_npz", "motions_npz", "amass_npz",
          "body_npz")  # fmt: skip
DOCUMENTS = ("keypoints_json", "data_set_json", "history", "config_json", "metrics_json", "calibration_opencv_json",
             "calibration_easymocap", "calibration_panoptic", "calibration_nerfstudio")  # fmt: skip
TEXTS = ("asf", "amc", "keypoints_csv", "calibration_colmap", "calibration_pose2sim", "calibration_qualisys",
         "calibration_opencv", "calibration_anipose", "calibration_caliscope", "calibration_easymocap")  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Write whole files of every kind once; give their folders, and their contents by name."""
    written = {}

    def of(name):
        if name not in written:
            folder = tmp_path_factory.mktemp(name)
            written[name] = {path: path.read_bytes() for path in READERS[name].write(folder)}
        return written[name]

    return of


def judged(name, path, content, whole_one):
    """Read a hostile file, put the whole one back, and hold that it was a value or one sentence."""
    path.write_bytes(content)
    try:
        with within_limits():
            verdict = tried(READERS[name], path)
    finally:
        path.write_bytes(whole_one)
    assert verdict.kind in ("read", "refused"), (name, path.name, verdict)
    return verdict.kind


HUGE = (2**31 - 1, 2**31, 2**32, 2**33, 10**12, 2**48, 2**63 - 1, 2**63, 2**64, 10**30)
sizes = st.lists(st.sampled_from((0, 1, 2, 3, 17, 24, *HUGE)), max_size=5)
odd_numbers = st.sampled_from((math.nan, math.inf, -math.inf, -0.0, 1e308, -1e308, 5e-324, 0, 1, -1, 2**31, 2**53 + 1,
                               -(2**63), 10**25, 10**400, True, False))  # fmt: skip


@st.composite
def array_files(draw):
    """Write a .npy whose header lies about its sizes, kind, order or length."""
    kind = draw(st.sampled_from(("<f4", "<f8", "<i4", "<i8", "|u1", "|b1", "<f2", "|O", "<U9", "<U999999", "|S4",
                                 "<c16", "<M8[s]", "|V9", "", "<f9", ">f4")))  # fmt: skip
    shape = tuple(draw(sizes))
    order = draw(st.sampled_from(("True", "False", "'C'")))
    header = f"{{'descr': '{kind}', 'fortran_order': {order}, 'shape': {shape}, }}".encode()
    header = draw(st.sampled_from((b"", b" " * 40, b"[" * 3000))) + header + b"\n"
    version = draw(st.sampled_from((1, 2, 3, 255)))
    length = draw(st.sampled_from((len(header), len(header), len(header), 0, 7, 65535)))
    stored = length.to_bytes(2 if version == 1 else 4, "little")
    values = draw(st.lists(odd_numbers.filter(lambda one: abs(one) <= 1e308 or one != one), max_size=60))
    return b"\x93NUMPY" + bytes([version, 0]) + stored + header + np.array(values, np.float64).tobytes()


@quick
@given(st.data())
def test_arrays_whose_headers_lie(whole, data):
    name = data.draw(st.sampled_from(("background", "regressor_npy")))
    ((path, content),) = whole(name).items()
    judged(name, path, data.draw(array_files()), content)


def parts_in(content):
    """Unpack an archive."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {part: archive.read(part) for part in archive.namelist()}


def packed(parts, kind=zipfile.ZIP_STORED):
    """Pack an archive with checksums that hold."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", kind) as archive:
        for part, inner in parts:
            archive.writestr(part, inner)
    return content.getvalue()


@st.composite
def odd_arrays(draw):
    """Write a whole .npy that holds other numbers, or others' sizes, than a reader hopes for."""
    shape = draw(st.lists(st.sampled_from((0, 1, 2, 3, 17, 24)), max_size=3))
    kind = draw(st.sampled_from(("f4", "f8", "i4", "i8", "u1", "u4", "?", "U7", "S3", "f2")))
    value = draw(odd_numbers)
    with np.errstate(all="ignore"):
        filled = np.full(shape, float(value) if abs(value) < 1e300 else np.inf)
        array = filled.astype(kind)
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


@settings(quick, max_examples=90)
@given(st.data())
def test_archives_with_one_lying_array(whole, data):
    name = data.draw(st.sampled_from(ARRAYS))
    path, content = data.draw(st.sampled_from(sorted(whole(name).items())))
    parts = parts_in(content)
    chosen = data.draw(st.sampled_from(sorted(parts)))
    parts[chosen] = data.draw(st.one_of(array_files(), odd_arrays()))
    judged(name, path, packed(parts.items()), content)


@st.composite
def lying_archives(draw, content):
    """Cut an archive, or change what its index says: sizes, offsets, methods, names, and how many parts there are."""
    parts = list(parts_in(content).items())
    how = draw(st.sampled_from(("cut", "index", "end", "bomb", "names")))
    if how == "cut":
        return content[: draw(st.integers(0, len(content)))]
    if how == "bomb":
        chosen = draw(st.integers(0, len(parts) - 1))
        parts[chosen] = (parts[chosen][0], bytes(draw(st.sampled_from((10**5, 3 * 10**7)))))
        return packed(parts, draw(st.sampled_from((zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA))))
    if how == "names":
        evil = draw(
            st.sampled_from(("../../outside", "/etc/outside", "a" * 60_000, "\\..\\x", "/", "con:", parts[0][0]))
        )
        return packed([*parts, (evil, b"x")])
    changed = bytearray(content)
    end = content.rfind(b"PK\x05\x06")
    begins = content.find(b"PK\x01\x02")
    place = draw(st.integers(begins + 4, end - 1) if how == "index" else st.integers(end + 4, len(content) - 1))
    word = draw(
        st.sampled_from((b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x00\x00\x00\x00", b"\x01", b"\x0c", b"\xff"))
    )
    changed[place : place + len(word)] = word
    return bytes(changed)


@settings(quick, max_examples=80)
@given(st.data())
def test_archives_that_are_cut_or_whose_index_lies(whole, data):
    name = data.draw(st.sampled_from(("index", "predictions", "body_npz", "checkpoint", "encoder", "wheel")))
    path, content = data.draw(st.sampled_from(sorted(whole(name).items())))
    judged(name, path, data.draw(lying_archives(content)), content)


documents = st.recursive(
    st.one_of(st.none(), odd_numbers, st.text(max_size=3), st.sampled_from(("nan", "1", "\ud800", "../..", "\0"))),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=6,
)


def places_in(document):
    """List the ways to all values of a document."""
    inner = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    return [[]] + [[key, *way] for key, value in inner for way in places_in(value)]


def changed_at(document, way, value):
    """Give a document with another value at a place."""
    if not way:
        return value
    copy = document.copy()
    copy[way[0]] = changed_at(document[way[0]], way[1:], value)
    return copy


@settings(quick, max_examples=100)
@given(st.data())
def test_documents_with_one_odd_value(whole, data):
    name = data.draw(st.sampled_from(DOCUMENTS))
    path, content = data.draw(st.sampled_from(sorted(whole(name).items())))
    lines = content.decode().splitlines() if path.suffix == ".jsonl" else [content.decode()]
    try:
        document = json.loads(lines[-1])
    except ValueError:
        return  # one of the other files of this format
    way = data.draw(st.sampled_from(places_in(document)))
    depth = data.draw(st.sampled_from((0, 0, 0, 0, 10, 100_000)))
    text = json.dumps(changed_at(document, way, data.draw(documents) if not depth else "HERE"))
    text = text.replace('"HERE"', "[" * depth + "1" + "]" * depth)
    judged(name, path, "\n".join([*lines[:-1], text]).encode(), content)


@settings(quick, max_examples=80)
@given(st.data())
def test_texts_with_odd_numbers(whole, data):
    name = data.draw(st.sampled_from(TEXTS))
    path, content = data.draw(st.sampled_from(sorted(whole(name).items())))
    found = [place.span() for place in NUMBER.finditer(content)]
    for first, last in sorted(data.draw(st.sets(st.sampled_from(found), min_size=1, max_size=4)), reverse=True):
        value = data.draw(odd_numbers)
        content_of = str(value) if data.draw(st.booleans()) or not isinstance(value, int) else hex(value)
        content = content[:first] + content_of.encode() + content[last:]
    judged(name, path, content, whole(name)[path])


class Forged:
    """Pickles as an array whose sizes, kind or content lie."""

    def __init__(self, shape, kind, content):
        self.state = (1, shape, kind, False, content)

    def __reduce__(self):
        make = np.zeros(1).__reduce__()[0]
        return make, (np.ndarray, (0,), b"b"), self.state


forged = st.builds(Forged, st.tuples(st.sampled_from((0, 3, *HUGE)), st.sampled_from((1, 3, -1, *HUGE))),
                   st.sampled_from((np.dtype("f8"), np.dtype("O"), np.dtype("U9"), np.dtype("i1"), "f8", None)),
                   st.sampled_from((b"", bytes(72), [1, 2], "x")))  # fmt: skip


@settings(quick, max_examples=60)
@given(st.data())
def test_pickles_of_arrays_that_are_none(whole, data):
    name = data.draw(st.sampled_from(("body_pkl", "embeddings_pkl")))
    path, content = data.draw(st.sampled_from(sorted(whole(name).items())))
    held = pickle.loads(content)
    chosen = data.draw(st.sampled_from(sorted(held)))
    simple = documents.filter(lambda one: "\\ud800" not in json.dumps(one))
    hostile = data.draw(st.one_of(forged, simple, odd_numbers.map(lambda one: np.full((3, 3), float(min(one, 1e300))))))
    judged(name, path, pickle.dumps(held | {chosen: hostile}, data.draw(st.sampled_from((2, 4)))), content)


def matlab(sizes, kind, stored, content, name=b"pose3"):
    """Write an array as MATLAB does, with the sizes that it is told to have."""

    def element(number, inner):
        return struct.pack("<II", number, len(inner)) + inner + bytes(-len(inner) % 8)

    head = (
        element(6, struct.pack("<II", kind, 0)) + element(5, struct.pack(f"<{len(sizes)}i", *sizes)) + element(1, name)
    )
    return element(14, head + element(stored, content))


@settings(quick, max_examples=60)
@given(st.data())
def test_matlab_arrays_that_promise_more_than_there_is(whole, data):
    name = data.draw(st.sampled_from(("meta_mat", "surreal_mat")))
    path, content = data.draw(st.sampled_from(sorted(whole(name).items())))
    shape = data.draw(st.lists(st.sampled_from((-1, 0, 1, 3, 10, 72, 2**31 - 1, 10**6)), max_size=20))
    called = data.draw(st.sampled_from((b"pose", b"shape", b"pose3d", b"camera", b"a" * 70_000, b"\xff")))
    values = np.array(data.draw(st.lists(st.sampled_from((math.nan, math.inf, 1e308, 0.0)), max_size=80)))
    kind, stored = data.draw(st.sampled_from((6, 7, 4, 1, 12, 255))), data.draw(st.sampled_from((9, 7, 2, 0, 99)))
    array = matlab(shape, kind, stored, values.tobytes(), called)
    if data.draw(st.booleans()):
        squeezed = zlib.compress(array + bytes(data.draw(st.sampled_from((0, 10**6)))))
        array = struct.pack("<II", 15, data.draw(st.sampled_from((len(squeezed), 2**32 - 1)))) + squeezed
    judged(name, path, content[:128] + array + data.draw(st.sampled_from((b"", content[128:]))), content)


def png(width, height, depth, colour, rows):
    """Write a picture whose checksums hold, whatever it promises."""

    def chunk(kind, inner):
        return struct.pack(">I", len(inner)) + kind + inner + struct.pack(">I", zlib.crc32(kind + inner))

    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@settings(quick, max_examples=60)
@given(st.data())
def test_pictures_that_promise_more_than_there_is(whole, data):
    name = data.draw(st.sampled_from(("frame", "mask", "photo", "given_mask")))
    path, content = next(one for one in whole(name).items() if one[0].suffix == ".png")
    side = st.sampled_from((0, 1, 16, 4000, 40_000, 2**20 + 1, 2**31 - 1, 2**32 - 1))
    depth, colour = data.draw(st.sampled_from((1, 8, 16, 3))), data.draw(st.sampled_from((0, 2, 3, 4, 6, 9)))
    rows = bytes(data.draw(st.sampled_from((0, 17, 10**5))))
    judged(name, path, png(data.draw(side), data.draw(side), depth, colour, rows), content)


KINDS = (torch.zeros(1).expand(10**12), torch.zeros(0), torch.zeros(2, dtype=torch.complex64), torch.ones(3).bool(),
         torch.zeros(2, 2).to_sparse(), torch.zeros((3, 2), dtype=torch.int64), torch.zeros(5, device="meta"),
         torch.zeros(4, dtype=torch.float8_e5m2), torch.full((2, 3), math.nan), torch.full((2, 3), -math.inf),
         torch.tensor(math.inf), torch.full((2, 3), 1e38), torch.zeros(2, 3).T)  # fmt: skip


@settings(quick, max_examples=60)
@given(st.data())
def test_checkpoints_with_one_odd_value(whole, data):
    name = data.draw(st.sampled_from(("checkpoint", "encoder")))
    ((path, content),) = whole(name).items()
    held = torch.load(io.BytesIO(content), weights_only=True)
    way = data.draw(st.sampled_from(places_in(held)))
    value = data.draw(st.one_of(documents, st.sampled_from(KINDS)))
    written = io.BytesIO()
    torch.save(changed_at(held, way, value), written)
    judged(name, path, written.getvalue(), content)


def with_array(part, array):
    """Put another array into an archive."""
    stored = io.BytesIO()
    np.save(stored, array)
    return lambda content: packed((parts_in(content) | {f"{part}.npy": stored.getvalue()}).items())


def with_value(way, value):
    """Put another value into a checkpoint."""

    def change(content):
        written = io.BytesIO()
        torch.save(changed_at(torch.load(io.BytesIO(content), weights_only=True), way, value), written)
        return written.getvalue()

    return change


CENTRE = ["config", "crop", "centre"]
FOUND = {
    "a rate that is no number": ("motions_npz", "motion.npz", with_array("mocap_framerate", np.zeros(0))),
    "a rate of nothing": ("motions_npz", "motion.npz", with_array("mocap_framerate", np.array(np.nan))),
    "frames without end": ("motions_npz", "body.npz", with_array("frame_numbers", np.array([0, 1, 10**15]))),
    "frames that fall": ("motions_npz", "body.npz", with_array("frame_numbers", np.array([2, 1, 0]))),
    "text as shapes": ("motions_npz", "act_02.npz", with_array("betas", np.array(["a"] * 10))),
    "fits without rows": ("motions_npz", "fits.npz", with_array("_theta", np.array("inf"))),
    "text as pseudo-labels": ("pseudo_labels", "fits.npz", with_array("_betas", np.array("inf"))),
    "a whole number beyond floats": ("calibration_pose2sim", "Calib.toml",
                                     lambda content: content.replace(b"950.0", b"1" + b"0" * 400, 1)),
    "a packing that asks for memory": ("predictions", "predictions.npz",
                                       lambda content: packed(parts_in(content).items(), zipfile.ZIP_LZMA)),
    "a name of two lines": ("checkpoint", "checkpoint_last.pt", with_value(["config"], {"a\nb": 2**64})),
    "a value of two lines": ("encoder", "checkpoint_best.pt", with_value(CENTRE, torch.ones(2, 2))),
}  # fmt: skip


@pytest.mark.parametrize("case", FOUND)
def test_what_was_found_once_is_refused(whole, case):
    name, file, change = FOUND[case]
    path, content = next(one for one in whole(name).items() if one[0].name == file)
    assert judged(name, path, change(content), content) == "refused"


@pytest.mark.parametrize("place", [str, lambda folder: "a" * 300], ids=["a folder without a body", "a long name"])
def test_a_place_that_settings_name_is_refused_with_the_name_of_the_file(whole, tmp_path, place):
    ((path, content),) = whole("encoder").items()
    held = torch.load(io.BytesIO(content), weights_only=True)
    held["config"]["paths"]["models_smpl_location"] = place(tmp_path)
    written = io.BytesIO()
    torch.save(held, written)
    assert judged("encoder", path, written.getvalue(), content) == "refused"
