"""`imagebind compare`: a matrix in the terminal and in an image file."""

from PIL import Image

from imagebind.toyworld import Colour, Scene, Shape, World, write_scene


def test_items_of_all_modalities_are_compared_and_drawn(
    imagebind, small_weights, embedder, tmp_path, image_file, audio_file, video_file, imu_file, deep_grey_file
):
    plot = tmp_path / "matrix.png"
    run = imagebind(
        *("compare", "--text", "A dog.", "--text", "A car", "--image", image_file, "--audio", audio_file),
        *("--video", video_file, "--depth", deep_grey_file, "--thermal", deep_grey_file, "--imu", imu_file),
        *("--plot", plot, "--weights", small_weights),
    )
    assert run.code == 0, run.err
    expected = float(embedder.similarity(embedder.encode("A dog."), embedder.encode(image_file)))
    row = next(line for line in run.out.splitlines() if "A dog." in line)
    assert f"{expected:.3f}" in row and "1.000" in row
    assert len(run.out.strip().splitlines()) == 8 + 4  # a line per item, and the header and borders
    assert Image.open(plot).size[0] > 300


def test_one_item_alone_cannot_be_compared(imagebind):
    run = imagebind("compare", "--text", "A dog.")
    assert run.code == 2 and "at least two" in run.err


def test_an_unreadable_file_is_an_error_without_a_traceback(imagebind, small_weights, tmp_path):
    run = imagebind("compare", "--text", "A", "--image", tmp_path / "no.jpg", "-w", small_weights)
    assert run.code == 1 and "no.jpg" in run.err and "Traceback" not in run.err


def test_a_plot_of_an_unknown_format_is_refused(imagebind, small_weights, tmp_path):
    run = imagebind(
        "compare", "--text", "A", "--text", "B", "--plot", tmp_path / "m.xyz", "-w", small_weights
    )
    assert run.code == 2 and "xyz" in run.err


def test_texts_that_look_like_markup_are_printed_as_they_are(imagebind, small_weights):
    run = imagebind("compare", "--text", "[/red] dog", "--text", "[bold] car", "-w", small_weights)
    assert run.code == 0 and "[/red] dog" in run.out and "[bold] car" in run.out


def test_the_small_model_is_loaded_by_name_and_matches_items_of_one_scene(imagebind, tmp_path):
    def scene(shape: Shape, colour: Colour) -> Scene:
        world = World(seed=5, held_out=None)
        found = (
            each for each in map(world.scene, range(2000)) if (each.shape, each.colour) == (shape, colour)
        )
        return next(found)

    red, blue = (
        write_scene(scene(shape, colour), tmp_path / shape.value)["image"]
        for shape, colour in ((Shape.RING, Colour.RED), (Shape.STAR, Colour.BLUE))
    )
    run = imagebind("compare", "-w", "tiny", "--text", "a red ring", "--image", red, "--image", blue)
    assert run.code == 0, run.err
    row = next(line for line in run.out.splitlines() if "a red ring" in line)
    text, ring, star = (float(cell) for cell in row.split("│")[2:5])
    assert text == 1 and ring > star + 0.3


def test_warnings_are_printed_beside_the_table(imagebind, small_weights, opposite_file):
    run = imagebind("compare", "--text", "a dog", "--audio", opposite_file, "-w", small_weights)
    assert run.code == 0 and "cosine" in run.out
    assert f"{opposite_file}: the channels cancel out" in run.err


def test_a_file_in_a_store_is_compared(imagebind, memory, image_file):
    memory.put_file(str(image_file), "/media/star.jpg")
    run = imagebind("compare", "--image", "memory://media/star.jpg", "--image", image_file, "-w", "tiny")
    assert run.code == 0 and "star.jpg" in run.out and "1.000" in run.out
