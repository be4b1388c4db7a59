"""IMU recordings for tests, and tables of them."""

import numpy as np

GRAVITY = 9.80665


def walk(samples: int = 2000) -> np.ndarray:
    """Return gravity plus small random values, (t, 6) in m/s² and rad/s; the same at each call."""
    values = np.random.default_rng(0).standard_normal((samples, 6)) * 0.5
    values[:, 2] += GRAVITY
    return values


def table(header: str, rows: np.ndarray, delimiter: str = ",") -> bytes:
    lines = [header, *(delimiter.join(f"{value:.9g}" for value in row) for row in rows)]
    return "\n".join(lines).encode()


PLAIN_HEADER = "timestamp,accl_x,accl_y,accl_z,gyro_x,gyro_y,gyro_z"
PLAIN_SAMPLES = walk(500)
PLAIN_SECONDS = np.arange(500) / 100
PLAIN = table(PLAIN_HEADER, np.column_stack([PLAIN_SECONDS, PLAIN_SAMPLES]))
