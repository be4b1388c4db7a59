"""Stems turn tensors into tokens with position embeddings and, except for text, a class token.

Names follow the released checkpoint. It calls a stem a preprocessor, and the projection of patches in it a
stem: the stem of vision is a `VisionPreprocessor`, and its `rgbt_stem` is a `VideoStem`. Odd names are kept:
audio and thermal have an `rgbt_stem` too, and the only convolution of vision's is `proj.1`.

A stem takes its tensor by position or by the modality's name, and returns keyword arguments for the trunk and
for the head: {"trunk": {"tokens": (b, l, d)}, "head": {}}; see `StemOutput`.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

StemOutput = dict[str, dict[str, Tensor]]  # keyword arguments of "trunk" and of "head"


class PositionTable(nn.Module):
    """Learned position embeddings of the class token and of each patch of a grid."""

    def __init__(self, embed_dim: int, grid: tuple[int, int]) -> None:
        super().__init__()
        self.grid = grid
        self.pos_embed = nn.Parameter(torch.empty(1, 1 + grid[0] * grid[1], embed_dim))

    def reset_parameters(self) -> None:
        nn.init.normal_(self.pos_embed, std=self.pos_embed.shape[-1] ** -0.5)

    def forward(self, grid: tuple[int, int]) -> Tensor:
        """Return the position embeddings of a grid of patches: (1, 1 + h·w, d).

        A square table is interpolated to other square grids. Source: released (bicubic; the class token's
        embedding is unchanged).
        """
        if grid == self.grid:
            return self.pos_embed
        if grid[0] != grid[1] or self.grid[0] != self.grid[1]:
            raise ValueError(f"grid: expected {self.grid} patches, got {grid}; only square grids are resized")
        first, patches = self.pos_embed[:, :1], self.pos_embed[:, 1:]
        image = patches.transpose(1, 2).unflatten(-1, self.grid)  # (1, h·w, d) -> (1, d, h, w)
        image = F.interpolate(image.float(), size=grid, mode="bicubic").to(patches.dtype)
        return torch.cat([first, image.flatten(2).transpose(1, 2)], dim=1)


class RepeatFrames(nn.Module):
    """Repeat an image as the frames of a video: (b, c, [1,] h, w) -> (b, c, frames, h, w).

    A video of several frames is returned unchanged.
    """

    def __init__(self, frames: int) -> None:
        super().__init__()
        self.frames = frames

    def forward(self, vision: Tensor) -> Tensor:
        if vision.ndim == 4:
            vision = vision.unsqueeze(2)
        elif vision.shape[2] != 1:
            return vision
        return vision.expand(-1, -1, self.frames, -1, -1)


class PatchConv3d(nn.Conv3d):
    """A convolution without bias, with kernel size = stride, computed as one matrix product over patches.

    The result is that of `nn.Conv3d`, which in bfloat16 on a CPU is many times slower. Rows and columns of
    pixels that do not fill a patch are ignored.
    """

    def forward(self, video: Tensor) -> Tensor:
        frames, height, width = self.kernel_size
        steps, rows, columns = (
            size // of for size, of in zip(video.shape[2:], self.kernel_size, strict=True)
        )
        patches = video[..., : rows * height, : columns * width].reshape(
            *video.shape[:2], steps, frames, rows, height, columns, width
        )  # (b, c, t, h, w) -> (b, c, t/kt, kt, h/kh, kh, w/kw, kw)
        patches = patches.permute(0, 2, 4, 6, 1, 3, 5, 7).flatten(4)  # -> (b, t/kt, h/kh, w/kw, c·kt·kh·kw)
        embedded = F.linear(patches, self.weight.flatten(1))  # -> (b, t/kt, h/kh, w/kw, d)
        return embedded.permute(0, 4, 1, 2, 3)  # -> (b, d, t/kt, h/kh, w/kw)


class VideoStem(nn.Module):
    """Project patches of images or videos, without a norm: (b, 3, [t,] h, w) -> (b, d, t', h', w')."""

    def __init__(self, embed_dim: int, *, patch_size: int, frames: int) -> None:
        super().__init__()
        kernel = (frames, patch_size, patch_size)
        self.proj = nn.Sequential(
            RepeatFrames(frames), PatchConv3d(3, embed_dim, kernel, stride=kernel, bias=False)
        )

    def forward(self, vision: Tensor) -> Tensor:
        return self.proj(vision)


class PatchStem(nn.Module):
    """Project and normalise patches of images or spectrograms: (b, c, h, w) -> (b, d, h', w').

    Released depth, thermal and audio have one channel; a modality that a user binds may have several.
    """

    def __init__(self, embed_dim: int, *, patch_size: int, stride: int, channels: int = 1) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels, embed_dim, patch_size, stride=stride, bias=False)
        self.norm_layer = nn.LayerNorm(embed_dim)

    def forward(self, images: Tensor) -> Tensor:
        patches = self.proj(images).permute(0, 2, 3, 1)  # (b, d, h', w') -> (b, h', w', d)
        return self.norm_layer(patches).permute(0, 3, 1, 2)


class WindowStem(nn.Module):
    """Project and normalise windows of samples: (b, c, t) -> (b, t/window, d).

    A window is flattened channel by channel.
    """

    def __init__(self, embed_dim: int, *, channels: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.proj = nn.Linear(channels * window, embed_dim, bias=False)
        self.norm_layer = nn.LayerNorm(embed_dim)

    def forward(self, samples: Tensor) -> Tensor:
        count = samples.shape[-1] // self.window
        windows = samples.reshape(*samples.shape[:2], count, self.window)  # (b, c, t) -> (b, c, t/w, w)
        windows = windows.transpose(1, 2).flatten(2)  # -> (b, t/w, c·w)
        return self.norm_layer(self.proj(windows))


class VisionPreprocessor(nn.Module):
    """Turn images or videos into tokens: (b, 3, [t,] h, w) -> (b, 1 + patches, d).

    A video has 1 frame, or `frames` times a square number. Position embeddings have no time axis: the table
    is resized to a square of all patches, with four times as many for 8 frames as for 2. Source: ours.
    """

    def __init__(self, embed_dim: int, *, image_size: int, patch_size: int, frames: int) -> None:
        super().__init__()
        side = _patches_along(image_size, patch_size, patch_size)
        self.patch_size, self.frames = patch_size, frames
        self.cls_token = nn.Parameter(torch.empty(1, 1, embed_dim))
        self.rgbt_stem = VideoStem(embed_dim, patch_size=patch_size, frames=frames)
        self.pos_embedding_helper = PositionTable(embed_dim, (side, side))

    def reset_parameters(self) -> None:
        _init_class_token(self.cls_token)

    def forward(self, vision: Tensor) -> StemOutput:
        frames = vision.shape[2] if vision.ndim == 5 else 1
        steps = 1 if frames == 1 else frames // self.frames
        stretch = math.isqrt(steps)
        if (
            vision.ndim not in (4, 5)
            or vision.shape[1] != 3
            or min(vision.shape[-2:]) < self.patch_size
            or (frames != 1 and (frames % self.frames or stretch < 1 or stretch**2 != steps))
        ):
            raise ValueError(
                f"vision: expected (b, 3, h, w) or (b, 3, t, h, w) after clips are folded, with h and w at "
                f"least {self.patch_size}, and t = 1 or {self.frames} times 1, 4, 9, …; "
                f"got {tuple(vision.shape)}"
            )
        patches = self.rgbt_stem(vision)  # (b, d, t', h', w')
        height, width = patches.shape[-2:]
        positions = self.pos_embedding_helper((stretch * height, stretch * width))
        return _tokens(patches, self.cls_token, positions)


class PatchPreprocessor(nn.Module):
    """Turn images or spectrograms into tokens: (b, channels, h, w) -> (b, 1 + patches, d)."""

    def __init__(
        self,
        embed_dim: int,
        *,
        name: str,
        image_size: tuple[int, int],
        patch_size: int,
        stride: int,
        stem_name: str,
        channels: int = 1,
    ) -> None:
        super().__init__()
        self.name = name
        self.patch_size = patch_size
        self.stem_name = stem_name
        height, width = (_patches_along(side, patch_size, stride) for side in image_size)
        self.image_size, self.channels = image_size, channels
        self.cls_token = nn.Parameter(torch.empty(1, 1, embed_dim))
        stem = PatchStem(embed_dim, patch_size=patch_size, stride=stride, channels=channels)
        self.add_module(stem_name, stem)
        self.pos_embedding_helper = PositionTable(embed_dim, (height, width))

    def reset_parameters(self) -> None:
        _init_class_token(self.cls_token)

    def forward(self, images: Tensor | None = None, **named: Tensor) -> StemOutput:
        """Take the tensor as `images` or by the modality's name, such as `audio=`."""
        if images is None and set(named) == {self.name}:
            images = named[self.name]
        elif images is None or named:
            given = [*([] if images is None else ["images"]), *sorted(named)]
            raise TypeError(f"{self.name}: expected one tensor, by position or as {self.name}=, got {given}")
        if images.ndim != 4 or images.shape[1] != self.channels or not self._has_positions(images):
            shape = ", ".join(str(side) for side in (self.channels, *self.image_size))
            other_sizes = ", or another square size" if self.image_size[0] == self.image_size[1] else ""
            raise ValueError(
                f"{self.name}: expected (b, {shape}) or clips (b, s, {shape}){other_sizes}, "
                f"got {tuple(images.shape)}"
            )
        patches = self.get_submodule(self.stem_name)(images)
        height, width = patches.shape[-2:]
        return _tokens(patches, self.cls_token, self.pos_embedding_helper((height, width)))

    def _has_positions(self, images: Tensor) -> bool:
        """Return whether images fit the position table: of its size, or both square in patches."""
        height, width = images.shape[-2:]
        if (height, width) == self.image_size:
            return True
        is_square = height // self.patch_size == width // self.patch_size >= 1
        return is_square and self.image_size[0] == self.image_size[1]


class ImuPreprocessor(nn.Module):
    """Turn accelerometer and gyroscope samples into tokens: (b, c, t) -> (b, 1 + t/window, d)."""

    def __init__(self, embed_dim: int, *, channels: int, steps: int, window: int) -> None:
        super().__init__()
        if steps % window:
            raise ValueError(f"steps: expected a multiple of window = {window}, got {steps}")
        self.sample_shape = (channels, steps)
        self.cls_token = nn.Parameter(torch.empty(1, 1, embed_dim))
        self.pos_embed = nn.Parameter(torch.empty(1, 1 + steps // window, embed_dim))
        self.imu_stem = WindowStem(embed_dim, channels=channels, window=window)

    def reset_parameters(self) -> None:
        _init_class_token(self.cls_token)
        nn.init.normal_(self.pos_embed, std=self.pos_embed.shape[-1] ** -0.5)

    def forward(self, imu: Tensor) -> StemOutput:
        if imu.ndim != 3 or tuple(imu.shape[1:]) != self.sample_shape:
            channels, steps = self.sample_shape
            raise ValueError(f"imu: expected (b, {channels}, {steps}), got {tuple(imu.shape)}")
        tokens = _with_class_token(self.imu_stem(imu), self.cls_token) + self.pos_embed
        return {"trunk": {"tokens": tokens}, "head": {}}


class TextPreprocessor(nn.Module):
    """Turn token ids into tokens: (b, l) -> (b, l, d), for any l up to the context length.

    The trunk also gets the causal mask (l, l), and the head the index of each row's end-of-text token (b,).
    """

    mask: Tensor

    def __init__(self, embed_dim: int, *, context_length: int, vocab_size: int) -> None:
        super().__init__()
        self.context_length = context_length
        self.pos_embed = nn.Parameter(torch.empty(1, context_length, embed_dim))
        self.token_embedding = nn.Embedding(vocab_size, embed_dim)
        self.register_buffer("mask", torch.empty(context_length, context_length))

    def reset_parameters(self) -> None:
        nn.init.normal_(self.pos_embed, std=0.01)
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        self.mask.fill_(float("-inf")).triu_(1)

    def forward(self, text: Tensor) -> StemOutput:
        if text.ndim != 2 or text.shape[1] > self.context_length or text.is_floating_point():
            raise ValueError(
                f"text: expected token ids (b, up to {self.context_length}), "
                f"got {tuple(text.shape)} of {text.dtype}"
            )
        # A slice would fix the length of an exported graph.
        positions = torch.arange(text.shape[1], device=text.device)
        tokens = self.token_embedding(text) + self.pos_embed.index_select(1, positions)
        attn_mask = self.mask.index_select(0, positions).index_select(1, positions)  # (l, l)
        end_of_text = text.argmax(dim=1)  # (b,): it has the largest id of the vocabulary
        return {
            "trunk": {"tokens": tokens, "attn_mask": attn_mask},
            "head": {"seq_len": end_of_text},
        }


def _init_class_token(token: Tensor) -> None:
    nn.init.normal_(token, std=token.shape[-1] ** -0.5)


def _with_class_token(tokens: Tensor, cls_token: Tensor) -> Tensor:
    first = cls_token.expand(tokens.shape[0], -1, -1)
    return torch.cat([first, tokens], dim=1)  # (b, l, d) -> (b, 1 + l, d)


def _tokens(patches: Tensor, cls_token: Tensor, positions: Tensor) -> StemOutput:
    tokens = patches.flatten(2).transpose(1, 2)  # (b, d, [t,] h, w) -> (b, [t·]h·w, d)
    return {"trunk": {"tokens": _with_class_token(tokens, cls_token) + positions}, "head": {}}


def _patches_along(side: int, patch_size: int, stride: int) -> int:
    return (side - patch_size) // stride + 1
