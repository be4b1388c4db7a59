"""Other people's evaluation harnesses and libraries: one module per library."""
