"""Adapters for other evaluation harnesses and libraries, one module per library."""
