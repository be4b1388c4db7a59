"""One recording of 3 s at 100 Hz in the formats of many loggers, with the column names of real exports."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from tests.media.motion import GRAVITY, walk

RATE = 100
SAMPLE_COUNT = 300
SECONDS = np.arange(SAMPLE_COUNT) / RATE
IMU_SAMPLES = walk(SAMPLE_COUNT)
ACCEL, GYRO = IMU_SAMPLES[:, :3], IMU_SAMPLES[:, 3:]
UP = np.tile([0.0, 0.0, 1.0], (SAMPLE_COUNT, 1))  # gravity in g
DEGREES = np.rad2deg(GYRO)
EPOCH_NS = 1_700_000_000_123_456_789


def stamps(scale: float, start: int = 0) -> list[str]:
    """Return integer ticks of a clock with `scale` ticks per second."""
    return [str(start + round(second * scale)) for second in SECONDS]


def dates(form: str = "2024-05-01T10:30:{:02d}.{:03d}Z") -> list[str]:
    return [form.format(round(1000 * second) // 1000, round(1000 * second) % 1000) for second in SECONDS]


def rows(
    *columns: np.ndarray | Sequence[str],
    sep: str = ",",
    point: str = ".",
    end: str = "",
    number: str = "{:.9g}",
) -> str:
    """Return rows of the columns: text unchanged, numbers (t,) or (t, n) with the given decimal sign."""
    cells: list[Iterable[str]] = []
    for column in columns:
        if isinstance(column, np.ndarray):
            for each in np.atleast_2d(column.T):
                cells.append([number.format(value).replace(".", point) for value in each])
        else:
            cells.append(column)
    return "".join(sep.join(row) + end + "\n" for row in zip(*cells, strict=True))


def axes(form: str, names: str = "xyz", sep: str = ",") -> str:
    return sep.join(form.format(name) for name in names)


def phyphox() -> str:
    header = f'"Time (s)",{axes(chr(34) + "Acceleration {} (m/s^2)" + chr(34))}'
    return f"{header},{axes(chr(34) + 'Gyroscope {} (rad/s)' + chr(34))}\n" + rows(
        SECONDS, ACCEL, GYRO, number="{:.9E}"
    )


def phyphox_tabs_with_commas() -> str:
    header = (
        f"Time (s)\t{axes('Acceleration {} (m/s^2)', sep=chr(9))}\t{axes('Gyroscope {} (rad/s)', sep=chr(9))}"
    )
    return header + "\n" + rows(SECONDS, ACCEL, GYRO, sep="\t", point=",")


def phyphox_german() -> str:
    header = f"Zeit (s);{axes('Beschleunigung {} (m/s^2)', sep=';')};{axes('Gyroskop {} (rad/s)', sep=';')}"
    return header + "\n" + rows(SECONDS, ACCEL, GYRO, sep=";", point=",")


def sensorlog() -> str:
    header = "loggingTime(txt),loggingSample(N),accelerometerTimestamp_sinceReboot(s),"
    header += f"{axes('accelerometerAcceleration{}(G)', 'XYZ')},gyroTimestamp_sinceReboot(s),"
    header += f"{axes('gyroRotation{}(rad/s)', 'XYZ')},{axes('motionUserAcceleration{}(G)', 'XYZ')}"
    logged = dates("2016-06-20 15:19:{:02d}.{:03d} +0200")
    index = np.arange(SAMPLE_COUNT)
    return header + "\n" + rows(logged, index, SECONDS + 1e5, ACCEL / GRAVITY, SECONDS + 1e5, GYRO, UP * 0)


def sensorlog_motion() -> str:
    header = f"loggingTime(txt),{axes('motionUserAcceleration{}(G)', 'XYZ')},"
    header += f"{axes('motionRotationRate{}(rad/s)', 'XYZ')},{axes('motionGravity{}(G)', 'XYZ')}"
    logged = dates("2016-06-20 15:19:{:02d}.{:03d} +0200")
    return header + "\n" + rows(logged, ACCEL / GRAVITY - UP, GYRO, UP)


def physics_toolbox() -> str:
    return "time,gFx,gFy,gFz,ax,ay,az,wx,wy,wz,TgF\n" + rows(
        SECONDS, ACCEL / GRAVITY, ACCEL - GRAVITY * UP, GYRO, SECONDS
    )


def physics_toolbox_over_midnight() -> str:
    clock = [
        f"{'23:59' if second < 1 else '00:00'}:{(59 if second < 1 else -1) + int(second):02d}"
        f":{round(1000 * second) % 1000:03d}"
        for second in SECONDS
    ]
    return "time,ax,ay,az,wx,wy,wz\n" + rows(clock, ACCEL, GYRO)


def androsensor() -> str:
    header = f"{axes('ACCELEROMETER {} (m/s²)', 'XYZ', ';')};{axes('GRAVITY {} (m/s²)', 'XYZ', ';')};"
    header += (
        f"{axes('LINEAR ACCELERATION {} (m/s²)', 'XYZ', ';')};{axes('GYROSCOPE {} (rad/s)', 'XYZ', ';')};"
    )
    header += f"{axes('MAGNETIC FIELD {} (μT)', 'XYZ', ';')};Time since start in ms ;YYYY-MO-DD HH-MI-SS_SSS"
    clock = dates("2015-03-05 12:25:{:02d}:{:03d}")
    return header + "\n" + rows(ACCEL, UP, UP, GYRO, UP, SECONDS * 1000, clock, sep=";")


def androsensor_dates() -> str:
    header = (
        f"sep=;\n{axes('ACCELEROMETER {} (m/s²)', 'XYZ', ';')};{axes('GYROSCOPE {} (rad/s)', 'XYZ', ';')}"
    )
    return (
        header
        + ";YYYY-MO-DD HH-MI-SS_SSS\n"
        + rows(ACCEL, GYRO, dates("2015-03-05 12-25-{:02d}_{:03d}"), sep=";")
    )


def euroc() -> str:
    header = f"#timestamp [ns],{axes('w_RS_S_{} [rad s^-1]')},{axes('a_RS_S_{} [m s^-2]')}"
    return header + "\n" + rows(stamps(1e9, EPOCH_NS), GYRO, ACCEL)


def tum() -> str:
    clock = [f"{1_403_636_579 + int(second)}.{round(second % 1 * 1e9):09d}" for second in SECONDS]
    return "# timestamp gx gy gz ax ay az\n" + rows(clock, GYRO, ACCEL, sep=" ")


def rostopic() -> str:
    header = "%time,field.header.seq,field.header.stamp,field.header.frame_id,field.orientation.x,"
    header += f"field.orientation_covariance0,{axes('field.angular_velocity.{}')},"
    header += f"field.angular_velocity_covariance0,{axes('field.linear_acceleration.{}')}"
    clock, index, zeros = stamps(1e9, EPOCH_NS), np.arange(SAMPLE_COUNT), np.zeros(SAMPLE_COUNT)
    return header + "\n" + rows(clock, index, clock, ["imu"] * SAMPLE_COUNT, zeros, zeros, GYRO, zeros, ACCEL)


def plotjuggler() -> str:
    header = f"__time,{axes('/imu/angular_velocity/{}')},{axes('/imu/linear_acceleration/{}')}"
    return header + "\n" + rows(SECONDS + 1.7e9, GYRO, ACCEL, number="{:.15g}")


def bagpy() -> str:
    header = "Time,header.seq,header.stamp.secs,header.stamp.nsecs,header.frame_id,"
    header += f"{axes('angular_velocity.{}')},{axes('linear_acceleration.{}')}"
    # The time of receipt differs from the time of measurement.
    received = SECONDS + 1.7e9 + np.random.default_rng(0).normal(0, 0.002, SAMPLE_COUNT)
    whole = [str(1_700_000_000 + int(second)) for second in SECONDS]
    rest = [str(round(second % 1 * 1e9)) for second in SECONDS]
    return (
        header
        + "\n"
        + rows(
            received,
            np.arange(SAMPLE_COUNT),
            whole,
            rest,
            ["imu"] * SAMPLE_COUNT,
            GYRO,
            ACCEL,
            number="{:.15g}",
        )
    )


def xsens_dot() -> str:
    meta = (
        "DeviceTag:,Xsens DOT\nFirmwareVersion:,2.0.0\nOutputRate:,100Hz\nMeasurementMode:,Custom Mode 5\n\n"
    )
    header = f"PacketCounter,SampleTimeFine,{axes('Euler_{}', 'XYZ')},{axes('FreeAcc_{}', 'XYZ')},"
    header += f"{axes('Acc_{}', 'XYZ')},{axes('Gyr_{}', 'XYZ')},"
    clock = [str(int(stamp) % 2**32) for stamp in stamps(1e6, 2**32 - 1_000_000)]  # wraps after a second
    return meta + header + "\n" + rows(np.arange(SAMPLE_COUNT), clock, UP, UP, ACCEL, DEGREES, end=",")


def xsens_mtw() -> str:
    meta = "// Start Time: Unknown\n// Update Rate: 100.0Hz\n// Filter Profile: human (46.1)\n"
    header = "PacketCounter\tSampleTimeFine\tYear\tAcc_X\tAcc_Y\tAcc_Z\tGyr_X\tGyr_Y\tGyr_Z\n"
    return (
        meta
        + header
        + rows(np.arange(SAMPLE_COUNT), stamps(1e4, 5000), [""] * SAMPLE_COUNT, ACCEL, GYRO, sep="\t")
    )


def xsens_without_a_clock() -> str:
    header = (
        "// Sample rate: 100.0Hz\nPacketCounter\tSampleTimeFine\tAcc_X\tAcc_Y\tAcc_Z\tGyr_X\tGyr_Y\tGyr_Z\n"
    )
    return header + rows(np.arange(SAMPLE_COUNT), [""] * SAMPLE_COUNT, ACCEL, GYRO, sep="\t")


def shimmer() -> str:
    form = "Shimmer_8665_{}_{{}}_CAL"
    parts = [axes(form.format(sensor), "XYZ", "\t") for sensor in ("Accel_LN", "Accel_WR", "Gyro")]
    header = '"sep=\t"\nShimmer_8665_Timestamp_Unix_CAL\t' + "\t".join(parts) + "\t\n"
    units = "ms\t" + "m/(s^2)\t" * 6 + "deg/s\t" * 3 + "\n"
    clock = [f"{1.7e12 + 1000 * second:.3f}" for second in SECONDS]
    return header + units + rows(clock, ACCEL, UP, DEGREES, sep="\t", end="\t")


def shimmer_dates() -> str:
    header = "sep=,\nShimmer_8665_Timestamp_FormattedUnix_CAL,"
    header += f"{axes('Shimmer_8665_Accel_WR_{}_CAL', 'XYZ')},{axes('Shimmer_8665_Gyro_{}_CAL', 'XYZ')},\n"
    units = "yyyy/mm/dd hh:mm:ss.000,m/(s^2),m/(s^2),m/(s^2),deg/s,deg/s,deg/s,\n"
    return header + units + rows(dates("2020/07/14 13:05:{:02d}.{:03d}"), ACCEL, DEGREES, end=",")


def coremotion() -> str:
    header = f"timestamp,{axes('rotationRate{}', 'XYZ')},{axes('gravity{}', 'XYZ')},"
    header += axes("acceleration{}", "XYZ")
    return header + "\n" + rows(SECONDS + 1.7e9, GYRO, UP, ACCEL / GRAVITY - UP, number="{:.15g}")


def tagged_rows() -> str:
    lines = ["epoch_ms,elapsed_ms,sensor,x,y,z"]
    for stamp, elapsed, accel, gyro in zip(
        stamps(1e3, 1_700_000_000_000), stamps(1e3), ACCEL, GYRO, strict=True
    ):
        for tag, (x, y, z) in (("Accelerometer", accel), ("Gyroscope", gyro), ("Magnetometer", accel)):
            lines.append(f"{stamp},{elapsed},{tag},{x:.9g},{y:.9g},{z:.9g}")
    return "\n".join(lines) + "\n"


def blank_in_turns() -> str:
    lines = ["timestamp,accl_x,accl_y,accl_z,gyro_x,gyro_y,gyro_z"]
    for second, accel, gyro in zip(SECONDS, ACCEL, GYRO, strict=True):
        lines.append(f"{second:.9g},{accel[0]:.9g},{accel[1]:.9g},{accel[2]:.9g},,,")
        lines.append(f"{second:.9g},,,,{gyro[0]:.9g},{gyro[1]:.9g},{gyro[2]:.9g}")
    return "\n".join(lines) + "\n"


def numbered_rows() -> str:
    header = " ".join(f'"{name}"' for name in ("t", "ax", "ay", "az", "gx", "gy", "gz"))  # R's write.table
    return header + "\n" + rows([f'"{n}"' for n in range(SAMPLE_COUNT)], SECONDS, ACCEL, GYRO, sep=" ")


def date_and_time() -> str:
    clock = dates("10:30:{:02d}.{:03d}")
    return "date,time,ax,ay,az,gx,gy,gz\n" + rows(["2024-05-01"] * SAMPLE_COUNT, clock, ACCEL, GYRO)


ONE_FILE_LOGGERS: tuple[Callable[[], str], ...] = (
    *(phyphox, phyphox_tabs_with_commas, phyphox_german, sensorlog, sensorlog_motion, physics_toolbox),
    *(
        physics_toolbox_over_midnight,
        androsensor,
        androsensor_dates,
        euroc,
        tum,
        rostopic,
        plotjuggler,
        bagpy,
    ),
    *(xsens_dot, xsens_mtw, xsens_without_a_clock, shimmer, shimmer_dates, coremotion, tagged_rows),
    *(blank_in_turns, numbered_rows, date_and_time),
)


def sensor_logger(folder: Path, *, unit: float = 1.0, files: str = "Accelerometer Gyroscope Gravity") -> Path:
    """Write an export of Sensor Logger; `unit` is the unit of accelerations, in m/s²."""
    measured = {
        "Accelerometer": (ACCEL - GRAVITY * UP) / unit,
        "Gravity": GRAVITY * UP / unit,
        "TotalAcceleration": ACCEL / unit,
        "Gyroscope": GYRO,
        "Magnetometer": GYRO,
    }
    folder.mkdir()
    for name in files.split():
        written = rows(stamps(1e9, EPOCH_NS), SECONDS, measured[name][:, ::-1])
        (folder / f"{name}.csv").write_text("time,seconds_elapsed,z,y,x\n" + written)
    (folder / "Metadata.csv").write_text("version,device name,recording time\n3,phone,2023-11-14\n")
    return folder
