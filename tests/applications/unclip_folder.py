"""Write Stable unCLIP with components of diffusers' classes, tiny sizes and random weights."""

import json
import string
from pathlib import Path

import torch

IMAGE_SIDE = 64  # pixels
WIDTH = 16  # of the text encoder and the image encoder
MAX_TOKENS = 16
LATENT_GAIN = 4.0  # gives the random encoder's latents a standard deviation near 1, as trained ones have


def write_unclip(folder: Path, *, embed_dim: int) -> Path:
    """Write the files of a `StableUnCLIPImg2ImgPipeline` for embeddings of `embed_dim` numbers."""
    import diffusers
    import transformers
    from diffusers.pipelines.stable_diffusion import StableUnCLIPImageNormalizer

    transformer = {"hidden_size": WIDTH, "intermediate_size": WIDTH, "num_hidden_layers": 1}
    transformer["num_attention_heads"] = 2
    with torch.random.fork_rng():
        torch.manual_seed(0)
        pipeline = diffusers.StableUnCLIPImg2ImgPipeline(
            feature_extractor=transformers.CLIPImageProcessor(crop_size=32, size=32),
            image_encoder=transformers.CLIPVisionModelWithProjection(
                transformers.CLIPVisionConfig(
                    **transformer, projection_dim=embed_dim, image_size=32, patch_size=8
                )
            ),
            image_normalizer=StableUnCLIPImageNormalizer(embedding_dim=embed_dim),
            image_noising_scheduler=diffusers.DDPMScheduler(beta_schedule="squaredcos_cap_v2"),
            tokenizer=_tokenizer(folder),
            text_encoder=transformers.CLIPTextModel(
                transformers.CLIPTextConfig(
                    **transformer,
                    vocab_size=len(_vocabulary()),
                    max_position_embeddings=MAX_TOKENS,
                    bos_token_id=0,
                    eos_token_id=1,
                )
            ),
            unet=diffusers.UNet2DConditionModel(
                sample_size=IMAGE_SIDE // 8,
                down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
                up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
                block_out_channels=(32, 64),
                attention_head_dim=(2, 4),
                layers_per_block=1,
                cross_attention_dim=WIDTH,
                use_linear_projection=True,
                class_embed_type="projection",
                projection_class_embeddings_input_dim=2 * embed_dim,
            ),
            scheduler=diffusers.PNDMScheduler(
                beta_start=0.00085,
                beta_end=0.012,
                beta_schedule="scaled_linear",
                prediction_type="v_prediction",
                skip_prk_steps=True,
                steps_offset=1,
            ),
            vae=diffusers.AutoencoderKL(
                block_out_channels=(32,) * 4,
                down_block_types=("DownEncoderBlock2D",) * 4,
                up_block_types=("UpDecoderBlock2D",) * 4,
                scaling_factor=LATENT_GAIN,
            ),
        )
    pipeline.save_pretrained(folder)
    return folder


def _vocabulary() -> dict[str, int]:
    letters = [letter + end for end in ("", "</w>") for letter in string.ascii_lowercase]
    return {word: number for number, word in enumerate(["<|startoftext|>", "<|endoftext|>", *letters])}


def _tokenizer(folder: Path):
    """Return a CLIP tokenizer whose tokens are single letters."""
    import transformers

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(_vocabulary()))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = transformers.CLIPTokenizer.from_pretrained(folder, model_max_length=MAX_TOKENS)
    (folder / "vocab.json").unlink()
    (folder / "merges.txt").unlink()
    return tokenizer
