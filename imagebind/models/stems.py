"""From a modality's tensor to its tokens: cut into pieces, project each, prepend a class token, place all.

The names of the inner modules are the released checkpoint's, odd ones included: `rgbt_stem` holds the
patches of audio and thermal as well, and `proj.1` of vision is where its one convolution stands.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PositionTable(nn.Module):
    """A learned place for the class token and for each patch of a grid."""

    def __init__(self, embed_dim: int, grid: tuple[int, int]) -> None:
        super().__init__()
        self.grid = grid
        self.pos_embed = nn.Parameter(torch.empty(1, 1 + grid[0] * grid[1], embed_dim))

    def reset_parameters(self) -> None:
        nn.init.normal_(self.pos_embed, std=self.pos_embed.shape[-1] ** -0.5)

    def forward(self, grid: tuple[int, int]) -> Tensor:
        """The places for a grid of patches: (1, 1 + h·w, d); another square grid is interpolated.

        Source: released (bicubic; the class token's place is untouched).
        """
        if grid == self.grid:
            return self.pos_embed
        if grid[0] != grid[1] or self.grid[0] != self.grid[1]:
            raise ValueError(
                f"only square pictures can be of another size: wants {self.grid} patches, got {grid}"
            )
        first, patches = self.pos_embed[:, :1], self.pos_embed[:, 1:]
        picture = patches.mT.unflatten(-1, self.grid)  # (1, h·w, d) -> (1, d, h, w)
        picture = F.interpolate(picture.float(), size=grid, mode="bicubic").to(patches.dtype)
        return torch.cat([first, picture.flatten(2).mT], dim=1)


class RepeatFrames(nn.Module):
    """A still picture becomes a motionless video: (b, c, h, w) -> (b, c, frames, h, w)."""

    def __init__(self, frames: int) -> None:
        super().__init__()
        self.frames = frames

    def forward(self, pictures: Tensor) -> Tensor:
        if pictures.ndim == 5:
            return pictures
        return pictures.unsqueeze(2).expand(-1, -1, self.frames, -1, -1)


class PatchConv3d(nn.Conv3d):
    """A convolution whose kernel is its stride, computed as one matrix product over patches.

    The same numbers as `nn.Conv3d`, which in bfloat16 on a CPU is many times slower.
    """

    def forward(self, video: Tensor) -> Tensor:
        frames, height, width = self.kernel_size
        patches = (
            video.unflatten(4, (-1, width)).unflatten(3, (-1, height)).unflatten(2, (-1, frames))
        )  # (b, c, t, h, w) -> (b, c, t/kt, kt, h/kh, kh, w/kw, kw)
        patches = patches.permute(0, 2, 4, 6, 1, 3, 5, 7).flatten(4)  # -> (b, t/kt, h/kh, w/kw, c·kt·kh·kw)
        return F.linear(patches, self.weight.flatten(1)).movedim(-1, 1)  # -> (b, d, t/kt, h/kh, w/kw)


class VideoStem(nn.Module):
    """Patches over time and space, without a bias or a norm: (b, 3, [t,] h, w) -> (b, d, h/p, w/p)."""

    def __init__(self, embed_dim: int, *, patch_size: int, frames: int) -> None:
        super().__init__()
        kernel = (frames, patch_size, patch_size)
        self.proj = nn.Sequential(
            RepeatFrames(frames), PatchConv3d(3, embed_dim, kernel, stride=kernel, bias=False)
        )

    def forward(self, pictures: Tensor) -> Tensor:
        return self.proj(pictures).squeeze(2)


class PictureStem(nn.Module):
    """Patches of a one-channel picture, normalised: (b, 1, h, w) -> (b, d, h', w')."""

    def __init__(self, embed_dim: int, *, patch_size: int, stride: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(1, embed_dim, patch_size, stride=stride, bias=False)
        self.norm_layer = nn.LayerNorm(embed_dim)

    def forward(self, pictures: Tensor) -> Tensor:
        patches = self.proj(pictures).movedim(1, -1)  # (b, d, h', w') -> (b, h', w', d)
        return self.norm_layer(patches).movedim(-1, 1)


class WindowStem(nn.Module):
    """Windows of samples, each flattened channel by channel: (b, c, t) -> (b, t/window, d)."""

    def __init__(self, embed_dim: int, *, channels: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.proj = nn.Linear(channels * window, embed_dim, bias=False)
        self.norm_layer = nn.LayerNorm(embed_dim)

    def forward(self, samples: Tensor) -> Tensor:
        windows = samples.unflatten(-1, (-1, self.window))  # (b, c, t) -> (b, c, t/w, w)
        return self.norm_layer(
            self.proj(windows.transpose(1, 2).flatten(2))
        )  # -> (b, t/w, c·w) -> (b, t/w, d)


class VisionPreprocessor(nn.Module):
    """Pictures or videos of `frames` frames to placed tokens: (b, 3, [t,] h, w) -> (b, 1 + patches, d)."""

    def __init__(self, embed_dim: int, *, image_size: int, patch_size: int, frames: int) -> None:
        super().__init__()
        side = _patches_along(image_size, patch_size, patch_size)
        self.patch_size, self.frames = patch_size, frames
        self.cls_token = nn.Parameter(torch.empty(1, 1, embed_dim))
        self.rgbt_stem = VideoStem(embed_dim, patch_size=patch_size, frames=frames)
        self.pos_embedding_helper = PositionTable(embed_dim, (side, side))

    def reset_parameters(self) -> None:
        _init_class_token(self.cls_token)

    def forward(self, pictures: Tensor) -> Tensor:
        still = pictures.ndim == 4 and pictures.shape[1] == 3
        video = pictures.ndim == 5 and tuple(pictures.shape[1:3]) == (3, self.frames)
        if not (still or video) or any(side % self.patch_size for side in pictures.shape[-2:]):
            raise ValueError(
                f"vision wants (b, 3, h, w) or (b, 3, {self.frames}, h, w) after its clips are folded, "
                f"h and w multiples of {self.patch_size}; got {tuple(pictures.shape)}"
            )
        return _placed(self.rgbt_stem(pictures), self.cls_token, self.pos_embedding_helper)


class PicturePreprocessor(nn.Module):
    """One-channel pictures or spectrograms to placed tokens: (b, 1, h, w) -> (b, 1 + patches, d)."""

    def __init__(
        self,
        embed_dim: int,
        *,
        name: str,
        picture_size: tuple[int, int],
        patch_size: int,
        stride: int,
        stem_name: str,
    ) -> None:
        super().__init__()
        self.name = name
        self.patch_size = patch_size
        self.stem_name = stem_name
        height, width = (_patches_along(side, patch_size, stride) for side in picture_size)
        self.picture_size = picture_size
        self.cls_token = nn.Parameter(torch.empty(1, 1, embed_dim))
        self.add_module(stem_name, PictureStem(embed_dim, patch_size=patch_size, stride=stride))
        self.pos_embedding_helper = PositionTable(embed_dim, (height, width))

    def reset_parameters(self) -> None:
        _init_class_token(self.cls_token)

    def forward(self, pictures: Tensor) -> Tensor:
        sides = tuple(pictures.shape[-2:])
        other_square = sides[0] == sides[1] and sides[0] % self.patch_size == 0 and self._is_square()
        if pictures.ndim != 4 or pictures.shape[1] != 1 or not (sides == self.picture_size or other_square):
            wanted = ", ".join(str(side) for side in (1, *self.picture_size))
            raise ValueError(f"{self.name} wants (b, {wanted}), got {tuple(pictures.shape)}")
        patches = self.get_submodule(self.stem_name)(pictures)
        return _placed(patches, self.cls_token, self.pos_embedding_helper)

    def _is_square(self) -> bool:
        return self.picture_size[0] == self.picture_size[1]


class ImuPreprocessor(nn.Module):
    """Accelerometer and gyroscope samples to placed tokens: (b, c, t) -> (b, 1 + t/window, d)."""

    def __init__(self, embed_dim: int, *, channels: int, steps: int, window: int) -> None:
        super().__init__()
        if steps % window:
            raise ValueError(f"steps wants a multiple of window = {window}, got {steps}")
        self.sample_shape = (channels, steps)
        self.cls_token = nn.Parameter(torch.empty(1, 1, embed_dim))
        self.pos_embed = nn.Parameter(torch.empty(1, 1 + steps // window, embed_dim))
        self.imu_stem = WindowStem(embed_dim, channels=channels, window=window)

    def reset_parameters(self) -> None:
        _init_class_token(self.cls_token)
        nn.init.normal_(self.pos_embed, std=self.pos_embed.shape[-1] ** -0.5)

    def forward(self, samples: Tensor) -> Tensor:
        if samples.ndim != 3 or tuple(samples.shape[1:]) != self.sample_shape:
            channels, steps = self.sample_shape
            raise ValueError(f"imu wants (b, {channels}, {steps}), got {tuple(samples.shape)}")
        windows = self.imu_stem(samples)
        return _with_class_token(windows, self.cls_token) + self.pos_embed


class TextPreprocessor(nn.Module):
    """Token ids to placed tokens: (b, l) -> (b, l, d), for any l up to the context length."""

    mask: Tensor

    def __init__(self, embed_dim: int, *, context_length: int, vocab_size: int) -> None:
        super().__init__()
        self.context_length = context_length
        self.pos_embed = nn.Parameter(torch.empty(1, context_length, embed_dim))
        self.token_embedding = nn.Embedding(vocab_size, embed_dim)
        # In the checkpoint, and not read here: the trunk's attention is causal by a flag.
        self.register_buffer("mask", torch.empty(context_length, context_length))

    def reset_parameters(self) -> None:
        nn.init.normal_(self.pos_embed, std=0.01)
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        self.mask.fill_(float("-inf")).triu_(1)

    def forward(self, ids: Tensor) -> Tensor:
        if ids.ndim != 2 or ids.shape[1] > self.context_length or ids.is_floating_point():
            raise ValueError(
                f"text wants token ids (b, up to {self.context_length}), "
                f"got {tuple(ids.shape)} of {ids.dtype}"
            )
        return self.token_embedding(ids) + self.pos_embed[:, : ids.shape[1]]


def _init_class_token(token: Tensor) -> None:
    nn.init.normal_(token, std=token.shape[-1] ** -0.5)


def _with_class_token(tokens: Tensor, cls_token: Tensor) -> Tensor:
    return torch.cat([cls_token.expand(len(tokens), -1, -1), tokens], dim=1)  # (b, l, d) -> (b, 1 + l, d)


def _placed(patches: Tensor, cls_token: Tensor, table: PositionTable) -> Tensor:
    height, width = patches.shape[-2:]
    tokens = patches.flatten(2).mT  # (b, d, h, w) -> (b, h·w, d)
    return _with_class_token(tokens, cls_token) + table((height, width))


def _patches_along(side: int, patch_size: int, stride: int) -> int:
    return (side - patch_size) // stride + 1
