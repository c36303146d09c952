"""What a point of the body wears, and its colour there: evaluated per sample, so that hems are sharp at every size.

Points are given where they lie on the body of mean shape in the T-pose (y up, facing +z, x to its left).
"""

import math

from dataset_def.synthetic.scene.patterns import pattern_share, value_noise
from utils.compiled import compiled

SKIN, HAIR, SHIRT, SLEEVE, TROUSERS, SHOE, SOLE, SOCK, BELT, UNDER, LIPS, EYE, BROW, BEARD, PRINT = range(15)
"""Parts: rows of the table of materials."""
KIND, FIRST, SECOND, SIZE, PHASE, TURNED, SIDE_STRIPE, SEED, COLUMNS = 0, 1, 4, 7, 8, 9, 10, 11, 12
"""Columns of the table of materials."""
(
    NECK_Y, HEM_Y, SHOULDER_X, SLEEVE_X, ARM_Y, ARM_Z, HIP_X, HIP_Y, HIP_Z, TROUSERS_Y, SOCK_Y, SHOE_Y, SOLE_Y,
    NECKLINE, OPEN, BELT_Y, PRINT_Y, PRINT_SIZE, PRINT_ROUND, HEAD_Y, HEAD_Z, HEAD_WIDE, HEAD_TALL, HEAD_DEEP,
    NAPE, FRINGE, HAS_BEARD, BACK_Z, NUM_CUTS,
) = range(29)  # fmt: skip
"""Where one part ends and the next begins: metres, except NAPE and FRINGE (half heads), PRINT_ROUND, HAS_BEARD."""


@compiled()
def head_part(x: float, y: float, z: float, cuts) -> int:  # type: ignore[no-untyped-def]
    """Tell hair, face and its features apart; x, y, z in half heads from the middle of the head."""
    in_face = z > 0.0 and (x / 0.86) ** 2 + ((y + 0.25) / (0.25 + cuts[FRINGE])) ** 2 < 1
    # Hair worn long frames the cheeks; short hair ends at the temples.
    side = 0.35 if cuts[NAPE] < -0.6 else 0.0
    if not in_face and y > (cuts[NAPE] if z < side else max(cuts[NAPE], 0.1)):
        return HAIR
    if z > 0.35:
        across = abs(abs(x) - 0.36)
        if (across / 0.15) ** 2 + ((y - 0.02) / 0.055) ** 2 < 1:
            return EYE
        if (across / 0.2) ** 2 + ((y - 0.19) / 0.04) ** 2 < 1:
            return BROW
        if (x / 0.3) ** 2 + ((y + 0.53) / 0.06) ** 2 < 1:
            return LIPS
    if cuts[HAS_BEARD] > 0 and z > -0.05 and y < -0.12 - 0.25 * z and y > -1.05:
        return SKIN if (abs(x) < 0.4 and y > -0.4) or (z > 0.4 and abs(x) < 0.3 and y > -0.33) else BEARD
    return SKIN


@compiled()
def trunk_part(x: float, y: float, z: float, cuts) -> int:  # type: ignore[no-untyped-def]
    """Tell skin, shirt and what shows under it apart, above the hem and below the head."""
    across = abs(x)
    if across > cuts[SHOULDER_X]:
        return SLEEVE if across < cuts[SLEEVE_X] else SKIN
    if z > cuts[ARM_Z] and y > cuts[NECK_Y] - cuts[NECKLINE] + 1.1 * across:
        return SKIN
    if z > cuts[ARM_Z] and across < cuts[OPEN]:
        return UNDER
    if z > cuts[ARM_Z] + 0.02 and cuts[PRINT_SIZE] > 0:
        up = y - cuts[PRINT_Y]
        if cuts[PRINT_ROUND] > 0:
            if x * x + up * up < cuts[PRINT_SIZE] ** 2:
                return PRINT
        elif across < cuts[PRINT_SIZE] and abs(up) < 0.8 * cuts[PRINT_SIZE]:
            return PRINT
    return SHIRT


@compiled()
def leg_part(y: float, cuts) -> int:  # type: ignore[no-untyped-def]
    """Tell belt, trousers, socks and shoes apart, below the hem."""
    if y < cuts[SOLE_Y]:
        return SOLE
    if y < cuts[SHOE_Y]:
        return SHOE
    if y > cuts[TROUSERS_Y]:
        return BELT if y > cuts[BELT_Y] else TROUSERS
    return SOCK if y < cuts[SOCK_Y] else SKIN


@compiled()
def part_at(x: float, y: float, z: float, cuts) -> int:  # type: ignore[no-untyped-def]
    """Name the part that a point of the body belongs to."""
    if abs(x) < cuts[SHOULDER_X]:
        head_y, head_z = (y - cuts[HEAD_Y]) / cuts[HEAD_TALL], (z - cuts[HEAD_Z]) / cuts[HEAD_DEEP]
        # Long hair falls behind the neck; the face ends at the chin.
        is_back = head_z < -0.15 and head_y > min(cuts[NAPE], -0.9) and abs(x) < 1.25 * cuts[HEAD_WIDE]
        if is_back or head_y > -1.0:
            part = head_part(x / cuts[HEAD_WIDE], head_y, head_z, cuts)
            if part != SKIN or y > cuts[NECK_Y] + 0.02:
                return part
        if y > cuts[NECK_Y] + 0.02:
            return SKIN
    return trunk_part(x, y, z, cuts) if y > cuts[HEM_Y] else leg_part(y, cuts)


@compiled()
def cloth_place(part: int, x: float, y: float, z: float, cuts) -> tuple[float, float, float]:  # type: ignore[no-untyped-def]
    """Give the place on the cloth: metres along the limb or down the trunk, metres around it, and the angle."""
    if part == SLEEVE:
        angle = math.atan2(z - cuts[ARM_Z], y - cuts[ARM_Y])
        return abs(x) - cuts[SHOULDER_X], 0.06 * angle, angle
    if part == TROUSERS:
        angle = math.atan2(abs(x) - cuts[HIP_X], z - cuts[HIP_Z])
        return cuts[HIP_Y] - y, 0.1 * angle, angle
    angle = math.atan2(x, z - cuts[ARM_Z])
    return cuts[NECK_Y] - y, 0.16 * angle, angle


@compiled()
def creases(part: int, x: float, y: float, z: float) -> float:
    """Give the light and dark of folds in cloth, strands in hair, unevenness of skin; about 1."""
    if part in (HAIR, BEARD):
        return 0.72 + 0.56 * value_noise(x * 90 + 40 * z, y * 14, 11)
    if part in (SHIRT, TROUSERS, SLEEVE):
        fold = value_noise(x * 14 + 3 * z + 5, y * 8 + x * 5, 17) + 0.5 * value_noise(x * 33, y * 21 + z * 30, 19)
        return 0.88 + 0.16 * fold
    return 0.97 + 0.06 * value_noise(x * 40, y * 40 + z * 20, 23)


@compiled()
def colour_at(x: float, y: float, z: float, cuts, materials) -> tuple[float, float, float]:  # type: ignore[no-untyped-def]
    """Give the RGB of the dressed body at a point, before light."""
    part = part_at(x, y, z, cuts)
    share = 0.0
    if part in (SHIRT, SLEEVE, TROUSERS):
        along, across, angle = cloth_place(part, x, y, z, cuts)
        if materials[part, TURNED] > 0:
            along, across = across, along
        kind, seed = int(materials[part, KIND]), int(materials[part, SEED])
        share = pattern_share(kind, along, across, materials[part, SIZE], materials[part, PHASE], seed)
        if materials[part, SIDE_STRIPE] > 0 and abs(angle - 1.57 * (part == TROUSERS)) < 0.3:
            share = 1.0
    light = creases(part, x, y, z)
    red = materials[part, FIRST] * (1 - share) + materials[part, SECOND] * share
    green = materials[part, FIRST + 1] * (1 - share) + materials[part, SECOND + 1] * share
    blue = materials[part, FIRST + 2] * (1 - share) + materials[part, SECOND + 2] * share
    return red * light, green * light, blue * light


@compiled()
def paint_points(colours, points, cuts, materials):  # type: ignore[no-untyped-def]
    """Fill the colour of each point, before light."""
    for i in range(points.shape[0]):
        red, green, blue = colour_at(points[i, 0], points[i, 1], points[i, 2], cuts, materials)
        colours[i, 0], colours[i, 1], colours[i, 2] = red, green, blue


@compiled()
def name_parts(parts, points, cuts):  # type: ignore[no-untyped-def]
    """Fill the part of each point."""
    for i in range(points.shape[0]):
        parts[i] = part_at(points[i, 0], points[i, 1], points[i, 2], cuts)
