"""The lines about files that a command leaves out."""

from collections import Counter

from imagebind.cli.files import left_out


def test_left_out_names_the_most_frequent_suffixes_and_counts_the_others():
    counts = Counter({".pdf": 3, "": 2, ".a": 1, ".b": 1, ".c": 1, ".d": 1})
    line = left_out(counts)
    assert line.startswith("9 files left out (not media, or part of a recording): ")
    assert line.endswith(": 3 .pdf, 2 without suffix, 1 .a, 1 .b, 1 .c, 1 more")
    assert left_out(Counter({".pdf": 1})) == "1 file left out (not media, or part of a recording): 1 .pdf"
