"""Forms of IMU tables: delimiters, decimal commas, lines around the header, bad rows."""

import random
import time

import numpy as np
import pytest

from imagebind.errors import AmbiguousMediaError, MediaError, collect_warnings
from imagebind.media.detect import detect
from imagebind.transforms.imu import ImuTransform, load_imu
from tests.media.loggers import ACCEL, GYRO, IMU_SAMPLES, ONE_FILE_LOGGERS, SAMPLE_COUNT, SECONDS, rows

NAMES = ("timestamp", "accl_x", "accl_y", "accl_z", "gyro_x", "gyro_y", "gyro_z")
HEADER = ",".join(NAMES) + "\n"
TABLE = HEADER + rows(SECONDS, ACCEL, GYRO)
COLUMNS = {"accel": (1, 2, 3), "gyro": (4, 5, 6), "time": 0}


def check(recording):
    np.testing.assert_allclose(recording.samples, IMU_SAMPLES, atol=1e-6)
    np.testing.assert_allclose(recording.seconds, SECONDS, atol=1e-9)


@pytest.mark.parametrize(
    "sep, point, quote",
    [
        (sep, point, quote)
        for sep in (",", ";", "\t", " ", "   ", ", ", " ; ", " \t")
        for point in ".,"
        for quote in ("", '"')
        if not ("," in sep and point == "," and not quote)  # these are ambiguous
        and not (quote and sep in ("   ", " \t"))
    ],
)
@pytest.mark.parametrize("end", ["", "sep"])
def test_delimiters_decimal_signs_quotes_and_trailing_delimiters_can_be_combined(sep, point, quote, end):
    header = sep.join(f"{quote}{name}{quote}" for name in NAMES)
    columns = [SECONDS, *IMU_SAMPLES.T]
    cells = [[f"{quote}{value:.9g}{quote}".replace(".", point) for value in column] for column in columns]
    last = sep.strip() or sep if end else ""
    check(load_imu((header + last + "\n" + rows(*cells, sep=sep, end=last)).encode()))


@pytest.mark.parametrize(
    "before",
    [
        "sep=,\n",
        "# MyLogger 1.2\n",
        "// Start Time: Unknown\n// Sample rate: 100.0Hz\n",
        "% written by hand\n\n",
        "Device: phone\nStart,2024-05-01,10:30\nNote,x,y,z\n\n",
        "\n\n\n",
        "#",
        "# ",
        "".join(f"line {n} of the metadata, of no meaning\n" for n in range(100)),
        "GYROFLOW IMU LOG\nversion,1.3\nnote,a test\ntimestamp,1644159993\nvendor,potatocam\n",
    ],
)
def test_lines_before_the_header_are_ignored(before):
    check(load_imu((before + TABLE).encode()))


@pytest.mark.parametrize(
    "below",
    [
        "s,m/s2,m/s2,m/s2,rad/s,rad/s,rad/s\n",
        "CAL,CAL,CAL,CAL,CAL,CAL,CAL\n",
        "\n",
        "# the rows\n",
        ",m/s²,,,rad/s,,\n",
    ],
)
def test_a_row_of_units_labels_or_comments_may_follow_the_header(below):
    text = TABLE.replace(HEADER, HEADER + below)
    options = {"accel_unit": "m/s2", "gyro_unit": "rad/s", "time_unit": "s"} if "CAL" in below else {}
    check(load_imu(text.encode(), **options))


def test_units_in_a_separate_row_are_applied():
    units = "ms,g,g,g,deg/s,deg/s,deg/s\n"
    data = (HEADER + units + rows(SECONDS * 1000, ACCEL / 9.80665, np.rad2deg(GYRO))).encode()
    check(load_imu(data))


def test_other_columns_may_contain_anything():
    header = "device,when,label," + HEADER
    names = ["phone; of 'me'"] * SAMPLE_COUNT, ["2024-05-01T10:30:00Z"] * SAMPLE_COUNT, [""] * SAMPLE_COUNT
    check(load_imu((header + rows(*names, SECONDS, ACCEL, GYRO)).encode()))


def test_thousands_of_other_columns_are_ignored():
    header = HEADER.strip() + "".join(f",extra_{n}" for n in range(3000)) + "\n"
    line = rows(SECONDS[:30], ACCEL[:30], GYRO[:30]).splitlines()
    data = header + "\n".join(row + ",1" * 3000 for row in line)
    assert load_imu(data.encode()).samples.shape == (30, 6)


@pytest.mark.parametrize("blank", ["", "NaN", "nan", "NA", "null", "-"])
def test_sensors_may_start_late_and_end_early(blank):
    early = "".join(f"{second:.2f}" + f",{blank}" * 6 + "\n" for second in (-0.03, -0.02, -0.01))
    half = f"3.00,1,2,3,{blank},{blank},{blank}\n"
    with collect_warnings() as warnings:
        check(load_imu((HEADER + early + rows(SECONDS, ACCEL, GYRO) + half).encode()))
    assert warnings == []


def test_rows_without_values_in_the_middle_are_left_out_with_a_warning():
    lines = TABLE.splitlines()
    lines[50] = lines[50].split(",")[0] + ",,,,,,"
    with collect_warnings() as warnings:
        recording = load_imu("\n".join(lines).encode())
    assert recording.samples.shape == (SAMPLE_COUNT - 1, 6)
    assert warnings and "1 of 300 rows" in warnings[0]


@pytest.mark.parametrize("cut", [3, 20, 40])
def test_a_truncated_last_line_is_kept_if_it_is_complete_or_left_out_with_a_warning(cut):
    data = (TABLE + TABLE.splitlines()[-1].replace("2.99", "3.00"))[:-cut]
    is_complete = data.splitlines()[-1].count(",") == HEADER.count(",")
    with collect_warnings() as warnings:
        recording = load_imu(data.encode())
    assert len(recording.seconds) == SAMPLE_COUNT + is_complete
    assert bool(warnings) is not is_complete


@pytest.mark.parametrize(
    "line, change, message",
    [
        (7, lambda row: row + ",8", r"8 cells in line 7, but 7 in the first row"),
        (7, lambda row: row.rsplit(",", 1)[0], r"6 cells in line 7, but 7"),
        (9, lambda row: row.rsplit(",", 1)[0] + ",high", r"'high' in column gyro_z, line 9"),
        (9, lambda row: "soon" + row[4:], r"'soon' in the time column at line 9"),
        (9, lambda row: "0" + row[4:], r"runs back by 0\.06 s at line 9"),
        (9, lambda row: row.rsplit(",", 1)[0] + ",inf", r"infinite value in line 9"),
        (1, lambda row: row.replace("gyro_z", "label"), r"no column for gyro_z"),
        (1, lambda row: row.replace("gyro_z", "gyro_y"), r"two columns for gyro_y|no column for gyro_z"),
        (1, lambda row: row.replace("accl_", "foo_"), r"no column for accel_x, accel_y, accel_z"),
        (
            1,
            lambda row: row.replace("gyro_x", "gyro_x (deg/s)").replace("gyro_y", "gyro_y (rad/s)"),
            "gyro in one of ",
        ),
    ],
)
def test_an_error_names_the_bad_line_or_column(line, change, message, tmp_path):
    lines = TABLE.splitlines()
    lines[line - 1] = change(lines[line - 1])
    path = tmp_path / "bad.csv"
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(MediaError, match=rf"bad\.csv: .*{message}"):
        load_imu(path)


# --- columns given by the user


@pytest.mark.parametrize(
    "columns",
    [
        COLUMNS,
        {"accel": ["b", "c", "d"], "gyro": ["e", "f", "g"], "time": "a"},
        {"accel": ("B", " c", "d"), "gyro": (4, 5, 6), "time": "a"},
    ],
)
def test_columns_are_given_by_name_or_number(columns):
    data = ("a,b,c,d,e,f,g\n" + rows(SECONDS, ACCEL, GYRO)).encode()
    check(load_imu(data, columns=columns))
    expected = ImuTransform(window_seconds=2)({"imu": IMU_SAMPLES, "timestamps": SECONDS})
    for out in (
        ImuTransform(window_seconds=2, columns=columns)(data),
        ImuTransform(window_seconds=2)({"imu": data, "columns": columns}),
    ):
        np.testing.assert_allclose(out, expected, atol=1e-5)


@pytest.mark.parametrize("sep", [" ", ",", ";", "\t"])
def test_a_table_without_a_header_is_read_by_column_numbers(sep):
    check(load_imu(rows(SECONDS, ACCEL, GYRO, sep=sep).encode(), columns=COLUMNS))
    timeless = {key: value for key, value in COLUMNS.items() if key != "time"}
    check(load_imu(rows(SECONDS, ACCEL, GYRO, sep=sep).encode(), columns=timeless, rate=100))


def test_the_units_of_the_header_apply_to_columns_given_by_number():
    header = "when (s),b (g),c (g),d (g),e (deg/s),f (deg/s),g (deg/s)\n"
    data = (header + rows(SECONDS, ACCEL / 9.80665, np.rad2deg(GYRO))).encode()
    check(load_imu(data, columns=COLUMNS))
    check(load_imu(data, columns={"accel": ("b", "c", "d"), "gyro": ("e", "f", "g"), "time": "when"}))


@pytest.mark.parametrize(
    "columns, message",
    [
        ({**COLUMNS, "time": "q"}, r"expected a name in the header \(timestamp, accl_x.*\), got 'q'"),
        (
            {**COLUMNS, "gyro": (4, 5, 7)},
            r"at least 8 columns for the column number 7, counted from 0, got 7 in line",
        ),
        (
            {"accel": NAMES[1:4], "gyro": (4, 5, 99)},
            r"at least 100 columns for the column number 99, counted from 0, got 7 in line 2",
        ),
        ({**COLUMNS, "accel": ("accl_x", "accl_y", "acl_z")}, r"got 'acl_z'"),
    ],
)
def test_an_error_names_the_missing_column(columns, message):
    with pytest.raises(MediaError, match=message):
        load_imu(TABLE.encode(), columns=columns)


@pytest.mark.parametrize(
    "columns",
    [{}, {"accel": (1, 2)}, {"accl": (1, 2, 3)}, {"accel": "xyz"}, {"time": 0}, {"accel": (1, 2, -3)}, [1]],
)
def test_columns_of_another_form_are_refused_by_the_constructor(columns):
    with pytest.raises(ValueError, match="columns: expected"):
        ImuTransform(columns=columns)


# --- text files with and without tables


@pytest.mark.parametrize("sep", [" ", ",", ";", "\t"])
@pytest.mark.parametrize("header", ["", "frame one two three four five six\n", "# a b c d e f g\n"])
def test_a_text_file_of_numbers_is_ambiguous(sep, header, tmp_path):
    path = tmp_path / "numbers.txt"
    path.write_text(header + rows(SECONDS, ACCEL, GYRO, sep=sep))
    with pytest.raises(
        AmbiguousMediaError, match=r"numbers\.txt: a table of numbers.*may be imu or text.*columns="
    ):
        detect(path)


@pytest.mark.parametrize(
    "text",
    [
        "A dog runs, jumps and barks.\n",
        "1. Mix 200 g of flour, 3 eggs and 1 l of milk.\n2. Bake for 20 min at 180 °C, 10 min at 160 °C.\n",
        "Call 555 123 4567\n",
        "x y z are the axes; ax ay az their accelerations, gx gy gz the gyroscope's.\nThat is all.\n",
        "42\n",
        "| a | b | c |\n|---|---|---|\n| 1 | 2 | 3 |\n",
    ],
)
def test_prose_with_numbers_is_text(text, tmp_path):
    path = tmp_path / "note.md"
    path.write_text(text)
    assert detect(path) == "text"


def test_the_error_for_a_csv_without_a_header_names_the_options_to_pass(tmp_path):
    path = tmp_path / "numbers.csv"
    path.write_text(rows(SECONDS, ACCEL, GYRO))
    for read in (detect, load_imu):
        with pytest.raises(
            MediaError,
            match=r"numbers\.csv: expected known column names .*, got a table.*; pass columns=.*--map",
        ):
            read(path)


# --- hostile files


@pytest.mark.parametrize("seed", range(12))
def test_a_damaged_table_gives_a_recording_or_a_named_error(seed, tmp_path):
    rng = random.Random(seed)
    path = tmp_path / ("table.csv" if seed % 2 else "acc_table.txt")
    for _ in range(6):
        data = bytearray(rng.choice(ONE_FILE_LOGGERS)().encode()[:6000])
        for _ in range(rng.choice((1, 3, 20))):
            at = rng.randrange(len(data))
            signs = bytes(rng.choices(b'",;\t\n\r0-9eE.#%/\0[()]', k=rng.randrange(1, 30)))
            data[at : at + rng.choice((0, 1, 50))] = signs
        path.write_bytes(data)
        for read in (detect, load_imu, lambda path: load_imu(path, columns=COLUMNS)):
            try:
                read(path)  # most damaged tables are still read without an error
            except MediaError as error:
                assert error.item == str(path)


@pytest.mark.parametrize(
    "text", ["[" * 10**5, "x,y,z," * 10**5, '"' * 10**5, "gyro_x," * 10**5, "accl x (" * 10**4, "1;" * 10**5]
)
def test_a_hostile_table_is_refused_quickly(text, tmp_path):
    path = tmp_path / "hostile.csv"
    path.write_text(f"{text}\n" * 5)
    start = time.monotonic()
    for read in (detect, load_imu):
        with pytest.raises(MediaError):
            read(path)
    assert time.monotonic() - start < 5


@pytest.mark.huge
def test_a_table_of_100_mb_is_read_in_bounded_time_and_memory():
    line = rows(ACCEL, GYRO).splitlines()
    body = "".join(
        f"{1_700_000_000_000_000_000 + n * 2_500_000},{line[n % SAMPLE_COUNT]}\n" for n in range(1_000_000)
    )
    start = time.monotonic()
    recording = load_imu((HEADER + body).encode())
    assert len(recording.seconds) == 1_000_000 and time.monotonic() - start < 60
