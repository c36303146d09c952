"""Who a subject is (build, skin, hair) and what it wears: everything follows from (seed, subject, outfit number)."""

import colorsys
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32

from dataset_def.synthetic.scene import clothes, patterns
from dataset_def.synthetic.scene.loose_clothes import Cloth, choose_cut, lengthen, make_cloth
from models.smpl import Body
from utils.skeleton import SMPL_24

RGB = tuple[float, float, float]
KNOWN_SUBJECTS = (1, 5, 6, 7, 8, 9, 11)
"""Subjects that share out the builds, skins and hair, so that no two of them are alike."""
SKINS: tuple[RGB, ...] = (
    (0.93, 0.76, 0.66), (0.55, 0.36, 0.24), (0.85, 0.65, 0.51), (0.36, 0.23, 0.16), (0.90, 0.70, 0.57),
    (0.69, 0.48, 0.34), (0.78, 0.57, 0.42),
)  # fmt: skip
HAIRS: tuple[RGB, ...] = (
    (0.10, 0.08, 0.07), (0.36, 0.22, 0.12), (0.75, 0.60, 0.35), (0.55, 0.25, 0.10), (0.88, 0.80, 0.62),
    (0.62, 0.60, 0.58), (0.30, 0.11, 0.08),
)  # fmt: skip


class HairStyle(NamedTuple):
    """A cut of hair, in half heads from the middle of the head."""

    nape: float
    """How far down it reaches behind; above 1 for none."""
    fringe: float
    """Height of the hairline over the forehead."""
    thick_m: float
    has_beard: bool = False


STYLES: tuple[HairStyle, ...] = (
    HairStyle(-0.45, 0.52, 0.012), HairStyle(-1.9, 0.45, 0.022), HairStyle(-0.4, 0.60, 0.010, True),
    HairStyle(-0.7, 0.50, 0.040), HairStyle(1.5, 1.50, 0.0, True), HairStyle(-1.0, 0.35, 0.025),
    HairStyle(-0.3, 0.68, 0.006),
)  # fmt: skip


class SubjectAppearance(NamedTuple):
    """What stays the same whatever a subject wears."""

    betas: Float[np.ndarray, "10"]
    skin: RGB
    hair: RGB
    style: HairStyle


class Outfit(NamedTuple):
    """One dressed body, ready to be rendered in any pose."""

    canonical_m: Float32[np.ndarray, "V 3"]
    """The vertices of the mean body in the T-pose: where the cloth's patterns are looked up."""
    offsets_m: Float[np.ndarray, "V"]
    """How far cloth and hair stand off the skin, along the normals."""
    cuts: Float[np.ndarray, "28"]
    """Where one part ends and the next begins (clothes.py)."""
    materials: Float[np.ndarray, "15 12"]
    """Pattern and colours of each part (clothes.py)."""
    colours: Float32[np.ndarray, "V 3"]
    """RGB at the vertices, before light, for figures that need no sharp hems."""
    cloth: Cloth | None = None
    """What hangs about the body, if anything does."""


OWN_LOOKS_FROM = 100
"""Subjects with this number and above look like nobody else; below it, who is not known shares the looks of one who
is."""


def own_look(rng: np.random.Generator, num_betas: int) -> SubjectAppearance:
    """Draw build, skin, hair and its cut from whole ranges, so that nobody else has them.

    Colours lie between those of the known subjects, and every cut of hair is a cut of theirs, changed.
    """
    first, second = rng.choice(len(SKINS), 2, replace=False)
    skin = np.array(SKINS[first]) + rng.uniform(0.2, 0.8) * (np.array(SKINS[second]) - np.array(SKINS[first]))
    first, second = rng.choice(len(HAIRS), 2, replace=False)
    hair = np.array(HAIRS[first]) + rng.uniform(0.2, 0.8) * (np.array(HAIRS[second]) - np.array(HAIRS[first]))
    cut = STYLES[int(rng.integers(len(STYLES)))]
    is_bald = cut.thick_m == 0
    style = HairStyle(
        nape=cut.nape if is_bald else cut.nape + rng.uniform(-0.2, 0.2),
        fringe=cut.fringe if is_bald else cut.fringe + rng.uniform(-0.08, 0.08),
        thick_m=cut.thick_m * rng.uniform(0.8, 1.3),
        has_beard=bool(rng.random() < 0.3),
    )
    betas = rng.normal(0, 0.8, 10)
    betas[:2] = rng.uniform(-1.5, 1.5, 2)
    red, green, blue = np.clip(skin + rng.normal(0, 0.012, 3), 0.05, 0.97).tolist()
    hair_red, hair_green, hair_blue = hair.tolist()
    return SubjectAppearance(betas[:num_betas], (red, green, blue), (hair_red, hair_green, hair_blue), style)


def are_alike(one: SubjectAppearance, other: SubjectAppearance) -> bool:
    """Tell whether two people could be taken for each other: skin, hair and its cut are nearly the same."""
    colours = np.abs(np.array([*one.skin, *one.hair]) - np.array([*other.skin, *other.hair]))
    cuts = np.abs(np.array(one.style[:2]) - np.array(other.style[:2]))
    return bool(colours.max() < 0.08 and cuts.max() < 0.15 and one.style.has_beard == other.style.has_beard)


def make_person(subject: int, seed: int, body: Body) -> SubjectAppearance:
    """Give a subject its build, skin and hair.

    Known subjects take different slots of one shuffled list; the first two shape directions are spread evenly.  Those
    from OWN_LOOKS_FROM on have looks of their own.
    """
    rng = np.random.default_rng([seed, subject, 11])
    if subject >= OWN_LOOKS_FROM:
        return own_look(rng, body.num_betas)
    order = np.random.default_rng([seed, 12])
    slots = [order.permutation(len(KNOWN_SUBJECTS)) for _ in range(5)]
    place = KNOWN_SUBJECTS.index(subject) if subject in KNOWN_SUBJECTS else int(rng.integers(len(KNOWN_SUBJECTS)))
    first, second, skin, hair, style = (int(slot[place]) for slot in slots)
    betas = rng.normal(0, 0.8, 10)
    betas[:2] = np.linspace(-1.5, 1.5, len(KNOWN_SUBJECTS))[[first, second]] + rng.normal(0, 0.1, 2)
    shade = rng.normal(0, 0.012, 3)
    red, green, blue = np.clip(np.array(SKINS[skin]) + shade, 0.05, 0.97)
    return SubjectAppearance(
        betas[: body.num_betas], (float(red), float(green), float(blue)), HAIRS[hair], STYLES[style]
    )


NEUTRALS: tuple[RGB, ...] = (
    (0.90, 0.90, 0.88), (0.09, 0.09, 0.10), (0.45, 0.45, 0.47), (0.20, 0.28, 0.45), (0.55, 0.47, 0.34),
    (0.13, 0.16, 0.27), (0.33, 0.36, 0.24),
)  # fmt: skip
"""White, black, grey, denim, khaki, navy, olive."""


def vivid(rng: np.random.Generator, hue: float | None = None) -> RGB:
    """Draw a colour rich in hue; without a given hue, one in six is a neutral."""
    if hue is None and rng.random() < 0.17:
        return NEUTRALS[int(rng.integers(len(NEUTRALS)))]
    tone = rng.random() if hue is None else hue % 1.0
    return colorsys.hsv_to_rgb(tone, rng.uniform(0.6, 1.0), rng.uniform(0.45, 0.95))


def _landmarks(body: Body) -> Float[np.ndarray, "28"]:
    """Measure the mean body: joints and the extent of its head."""
    template_m = body.template_m.detach().cpu().double().numpy()
    joints_m = dict(zip(SMPL_24, body.rest_template_joints_m.detach().cpu().double().numpy(), strict=True))
    neck, shoulder, hip = joints_m["neck"], joints_m["left_shoulder"], joints_m["left_hip"]
    head_m = template_m[(template_m[:, 1] > joints_m["head"][1]) & (abs(template_m[:, 0]) < 0.15)]
    crown = head_m[:, 1].max()
    upper = head_m[head_m[:, 1] > 0.5 * (crown + joints_m["head"][1])]
    chin = crown - 1.12 * np.ptp(upper[:, 2])
    cuts = np.zeros(clothes.NUM_CUTS)
    cuts[clothes.NECK_Y] = neck[1]
    cuts[clothes.SHOULDER_X] = shoulder[0]
    cuts[[clothes.ARM_Y, clothes.ARM_Z]] = shoulder[1], shoulder[2]
    cuts[[clothes.HIP_X, clothes.HIP_Y, clothes.HIP_Z]] = hip
    cuts[[clothes.HEAD_Y, clothes.HEAD_TALL]] = 0.5 * (crown + chin), 0.5 * (crown - chin)
    cuts[[clothes.HEAD_Z, clothes.HEAD_DEEP]] = 0.5 * (upper[:, 2].max() + upper[:, 2].min()), 0.5 * np.ptp(upper[:, 2])
    cuts[clothes.HEAD_WIDE] = 0.5 * np.ptp(upper[:, 0]) * 0.92
    cuts[clothes.SOLE_Y] = template_m[:, 1].min()
    return cuts


def _cut_clothes(rng: np.random.Generator, person: SubjectAppearance, body: Body) -> Float[np.ndarray, "28"]:
    """Choose lengths: sleeves, hem, trousers, socks, shoes, neckline, open jacket, print on the chest."""
    cuts = _landmarks(body)
    joints_m = dict(zip(SMPL_24, body.rest_template_joints_m.detach().cpu().double().numpy(), strict=True))
    elbow, wrist = joints_m["left_elbow"][0], joints_m["left_wrist"][0]
    hip, knee, ankle = (joints_m[f"left_{name}"][1] for name in ("hip", "knee", "ankle"))
    waist = joints_m["pelvis"][1] + 0.25 * (joints_m["spine1"][1] - joints_m["pelvis"][1])
    sleeves = [0.5 * (cuts[clothes.SHOULDER_X] + elbow), elbow - 0.03, 0.5 * (elbow + wrist), wrist - 0.015]
    cuts[clothes.SLEEVE_X] = rng.choice(sleeves, p=[0.25, 0.2, 0.1, 0.45])
    cuts[clothes.HEM_Y] = rng.choice([waist, hip - 0.06, 0.5 * (hip + knee)], p=[0.45, 0.4, 0.15])
    cuts[clothes.TROUSERS_Y] = rng.choice([ankle + 0.01, 0.6 * knee + 0.4 * ankle, knee + 0.05, 0.5 * (hip + knee)],
                                          p=[0.55, 0.1, 0.2, 0.15])  # fmt: skip
    cuts[clothes.SHOE_Y] = ankle + rng.choice([-0.015, 0.01, 0.12], p=[0.45, 0.35, 0.2])
    cuts[clothes.SOCK_Y] = ankle + rng.choice([0.0, 0.05, 0.25], p=[0.4, 0.4, 0.2])
    cuts[clothes.SOLE_Y] += 0.022
    cuts[clothes.NECKLINE] = rng.choice([0.0, 0.05, 0.13])
    cuts[clothes.OPEN] = rng.choice([0.0, 0.055], p=[0.75, 0.25])
    cuts[clothes.BELT_Y] = waist - 0.045 if rng.random() < 0.4 else 9.0
    cuts[clothes.PRINT_Y] = cuts[clothes.NECK_Y] - 0.19
    cuts[clothes.PRINT_SIZE] = rng.uniform(0.06, 0.11) if rng.random() < 0.35 and cuts[clothes.OPEN] == 0 else 0.0
    cuts[clothes.PRINT_ROUND] = float(rng.random() < 0.5)
    cuts[[clothes.NAPE, clothes.FRINGE]] = person.style.nape, person.style.fringe
    cuts[clothes.HAS_BEARD] = float(person.style.has_beard)
    return cuts


def _garment(rng: np.random.Generator, hue: float, girth_m: float, plain: float) -> Float[np.ndarray, "12"]:
    """Choose the pattern and two colours of one garment; repetitions close around a limb of this girth."""
    row = np.zeros(clothes.COLUMNS)
    kinds = (patterns.STRIPES, patterns.CHECKS, patterns.DOTS, patterns.BLOCKS, patterns.GRADIENT,
             patterns.CAMOUFLAGE, patterns.ZIGZAG)  # fmt: skip
    chance = np.array([0.32, 0.16, 0.12, 0.14, 0.08, 0.1, 0.08])
    row[clothes.KIND] = patterns.PLAIN if rng.random() < plain else rng.choice(kinds, p=chance)
    first = vivid(rng, hue if rng.random() < 0.85 else None)
    away = hue + rng.uniform(0.2, 0.8)
    second = vivid(rng, away) if rng.random() < 0.6 else (0.92, 0.92, 0.9) if sum(first) < 1.5 else (0.1, 0.1, 0.13)
    row[clothes.FIRST : clothes.FIRST + 3] = first
    row[clothes.SECOND : clothes.SECOND + 3] = second
    row[clothes.SIZE] = girth_m / rng.integers(4, 11)
    row[clothes.PHASE] = rng.uniform(0, 1) if row[clothes.KIND] != patterns.GRADIENT else 0.0
    row[clothes.TURNED] = float(rng.random() < 0.3 and row[clothes.KIND] == patterns.STRIPES)
    if row[clothes.KIND] in (patterns.GRADIENT, patterns.BLOCKS):
        row[clothes.SIZE] = 0.3
    row[clothes.SIDE_STRIPE] = float(row[clothes.KIND] == patterns.PLAIN and rng.random() < 0.3)
    row[clothes.SEED] = rng.integers(1, 1000)
    return row


def _materials(rng: np.random.Generator, person: SubjectAppearance) -> Float[np.ndarray, "15 12"]:
    """Choose the colours of every part; the hues of shirt and trousers lie apart."""
    table = np.zeros((15, clothes.COLUMNS))
    hue = rng.random()
    table[clothes.SHIRT] = _garment(rng, hue, 1.0053, 0.3)
    table[clothes.SLEEVE] = table[clothes.SHIRT]
    table[clothes.SLEEVE, clothes.SIDE_STRIPE] = 0
    if rng.random() < 0.3:
        table[clothes.SLEEVE] = _garment(rng, hue + rng.uniform(0.25, 0.75), 0.6, 0.6)
    table[clothes.TROUSERS] = _garment(rng, hue + rng.uniform(0.2, 0.8), 0.6283, 0.6)
    if table[clothes.TROUSERS, clothes.KIND] == patterns.PLAIN and rng.random() < 0.6:
        table[clothes.TROUSERS, clothes.FIRST : clothes.FIRST + 3] = NEUTRALS[int(rng.integers(len(NEUTRALS)))]
    skin = np.array(person.skin)
    sole = np.array((0.9, 0.9, 0.88) if rng.random() < 0.6 else (0.12, 0.1, 0.09))
    fixed: dict[int, np.ndarray | RGB]
    fixed = {clothes.SKIN: skin, clothes.HAIR: person.hair, clothes.BEARD: person.hair, clothes.EYE: (0.1, 0.07, 0.06),
             clothes.BROW: 0.6 * np.array(person.hair) + 0.1 * skin, clothes.LIPS: skin * (0.85, 0.55, 0.55),
             clothes.SHOE: vivid(rng), clothes.SOLE: sole, clothes.SOCK: vivid(rng), clothes.UNDER: vivid(rng),
             clothes.BELT: (0.14, 0.1, 0.07), clothes.PRINT: vivid(rng, hue + 0.5)}  # fmt: skip
    for part, colour in fixed.items():
        table[part, clothes.FIRST : clothes.FIRST + 3] = np.asarray(colour)
    return table


def _tapered(values: Float[np.ndarray, "V"], faces: np.ndarray, rounds: int) -> Float[np.ndarray, "V"]:
    """Let values fall off smoothly towards zeros nearby, never rising above what they were."""
    starts, ends = faces.ravel(), np.roll(faces, 1, axis=1).ravel()
    degree = np.maximum(np.bincount(starts, minlength=len(values)), 1)
    smooth = values
    for _ in range(rounds):
        smooth = np.minimum(values, np.bincount(starts, weights=smooth[ends], minlength=len(values)) / degree)
    return smooth


def _offsets_m(
    rng: np.random.Generator, person: SubjectAppearance, points_m: np.ndarray, faces: np.ndarray, cuts: np.ndarray
) -> Float[np.ndarray, "V"]:
    """Choose how far each vertex's cloth or hair stands off the skin; hair thins out towards its line."""
    parts = np.zeros(len(points_m), dtype=np.int64)
    clothes.name_parts(parts, points_m, cuts)
    shirt, trousers = rng.uniform(0.006, 0.02), rng.uniform(0.006, 0.016)
    thick = np.zeros(15)
    thick[[clothes.SHIRT, clothes.SLEEVE, clothes.PRINT, clothes.UNDER]] = shirt, 0.7 * shirt + 0.002, shirt, 0.004
    thick[[clothes.TROUSERS, clothes.BELT, clothes.SHOE, clothes.SOLE]] = trousers, trousers, 0.01, 0.012
    thick[clothes.SOCK] = 0.004
    thick[[clothes.HAIR, clothes.BEARD]] = person.style.thick_m, 0.008 if person.style.thick_m else 0.006
    is_hair = np.isin(parts, (clothes.HAIR, clothes.BEARD))
    offsets_m = np.where(is_hair, _tapered(thick[parts] * is_hair, faces, 3), thick[parts])
    flare = rng.choice([0.0, 0.03], p=[0.7, 0.3])
    below = np.clip((cuts[clothes.HIP_Y] - points_m[:, 1]) / 0.4, 0, 1)
    return offsets_m + flare * below * np.isin(parts, (clothes.TROUSERS, clothes.SHIRT))


def dulled(rng: np.random.Generator, materials: Float[np.ndarray, "15 12"]) -> Float[np.ndarray, "15 12"]:
    """Take most of the hue and of the contrast off clothes, as most of what people wear has little of both."""
    table = materials.copy()
    first, second = slice(clothes.FIRST, clothes.FIRST + 3), slice(clothes.SECOND, clothes.SECOND + 3)
    for part in (clothes.SHIRT, clothes.TROUSERS, clothes.SHOE, clothes.SOCK, clothes.UNDER, clothes.PRINT):
        hue_left, contrast_left = rng.uniform(0.05, 0.5), rng.uniform(0.15, 0.6)
        tone = np.array(NEUTRALS[int(rng.integers(len(NEUTRALS)))])
        share = rng.uniform(0.2, 0.7)
        for colour in (first, second):
            grey = table[part, colour].mean()
            table[part, colour] = (1 - share) * (grey + hue_left * (table[part, colour] - grey)) + share * tone
        table[part, second] = table[part, first] + contrast_left * (table[part, second] - table[part, first])
        if part == clothes.SHIRT and (materials[part, first] == materials[clothes.SLEEVE, first]).all():
            table[clothes.SLEEVE, clothes.FIRST : clothes.FIRST + 6] = table[part, clothes.FIRST : clothes.FIRST + 6]
        elif part == clothes.SHIRT:
            table[clothes.SLEEVE, first] = 0.8 * tone + 0.2 * materials[clothes.SLEEVE, first]
    return table


class Wardrobe(NamedTuple):
    """Which outfits are unlike those of the committed tables."""

    loose: float = 0.0
    """Share whose clothes stand off the body."""
    dull: float = 0.0
    """Share in dull colours."""


def make_outfit(
    person: SubjectAppearance, outfit_number: int, seed: int, body: Body, wardrobe: Wardrobe | None = None
) -> Outfit:
    """Dress a person; the same outfit for the same person, number, seed and wardrobe."""
    likeness = np.round(np.array([*person.betas, *person.skin, *person.hair]) * 1e6).astype(np.int64)
    rng = np.random.default_rng([seed, outfit_number, 13, *(likeness % 2**31)])
    points_m, faces = body.template_m.detach().cpu().double().numpy(), body.faces.cpu().numpy()
    cuts, materials = _cut_clothes(rng, person, body), _materials(rng, person)
    own = np.random.default_rng([seed, outfit_number, 14, *(likeness % 2**31)])
    wardrobe = wardrobe or Wardrobe()
    is_loose, is_dull = own.random() < wardrobe.loose, own.random() < wardrobe.dull
    cut = choose_cut(own)
    if is_loose:
        joints_m = dict(zip(SMPL_24, body.rest_template_joints_m.detach().cpu().double().numpy(), strict=True))
        cuts = lengthen(own, cut, cuts, float(joints_m["left_knee"][1]), float(joints_m["left_ankle"][1]))
    if is_dull:
        materials = dulled(own, materials)
    offsets_m = _offsets_m(rng, person, points_m, faces, cuts)
    cloth = make_cloth(cut, cuts, points_m, offsets_m, faces) if is_loose else None
    colours = np.zeros((len(points_m), 3), dtype=np.float32)
    clothes.paint_points(colours, points_m, cuts, materials)
    return Outfit(points_m.astype(np.float32), offsets_m, cuts, materials, colours, cloth)
