"""
CLIP embeddings of a folder of images with captions, for ``clipdim.datasets.image_text``.

After ``pip install 'clipdim[image-text]'``, ``python tutorials/embed_images.py photos captions.csv --out embeddings``
reads a CSV file with the columns ``file`` (within the folder) and ``caption``, and perhaps ``label``, and writes
``images.npy``, ``texts.npy`` and ``labels.npy``, one row for each row of the CSV. CLIP ViT-L/14 is downloaded the first
time (1.7 GB).
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image, UnidentifiedImageError
from tqdm.auto import tqdm
from transformers import CLIPModel, CLIPProcessor

MODEL = "openai/clip-vit-large-patch14"


def read_captions(path: Path, folder: Path) -> pd.DataFrame:
    """Table of captions, each of whose files is there."""
    table = pd.read_csv(path, dtype=str)
    missing = [column for column in ("file", "caption") if column not in table]
    if missing or table.empty:
        msg = f"{path} needs the columns file and caption and at least one row; it has {list(table)}, {len(table)} rows"
        raise ValueError(msg)
    empty = table.index[table[["file", "caption"]].isna().any(axis=1)]
    if len(empty):
        msg = f"{path}: file or caption is empty in {len(empty)} rows, first in row {empty[0] + 1} after the header"
        raise ValueError(msg)
    absent = [name for name in table["file"] if not (folder / name).is_file()]
    if absent:
        msg = f"{len(absent)} of {len(table)} files are not in {folder}: {absent[:3]}"
        raise FileNotFoundError(msg)
    return table


def read_image(path: Path) -> Image.Image:
    """Read as RGB, whatever the file holds."""
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except (UnidentifiedImageError, OSError) as error:
        msg = f"{path} cannot be read as an image: {error}"
        raise ValueError(msg) from error


@torch.inference_mode()
def embed_images(
    paths: Sequence[Path],
    captions: Sequence[str],
    model: CLIPModel,
    processor: CLIPProcessor,
    *,
    batch_size: int = 32,
    progress: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    """
    Pooled outputs of the vision and of the text tower before their projections, float32, one row for each pair.

    They are computed on the model's device. Captions beyond the context of the text tower are cut off.
    """
    if len(paths) != len(captions):
        msg = f"{len(paths)} images and {len(captions)} captions; each image needs one"
        raise ValueError(msg)
    model.eval()  # no dropout
    images, texts = [], []
    length = model.config.text_config.max_position_embeddings
    for start in tqdm(range(0, len(paths), batch_size), unit="batch", disable=not progress):
        part = slice(start, start + batch_size)
        inputs = processor(
            text=list(captions[part]),
            images=[read_image(path) for path in paths[part]],
            return_tensors="pt",
            padding=True,
            truncation=True,
            max_length=length,
        ).to(model.device)
        vision = model.vision_model(pixel_values=inputs["pixel_values"].to(model.dtype))
        text = model.text_model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"])
        images.append(vision.pooler_output.float().cpu().numpy())
        texts.append(text.pooler_output.float().cpu().numpy())
    return np.concatenate(images), np.concatenate(texts)


def main() -> None:
    """Read, embed, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of the images")
    parser.add_argument("captions", type=Path, help="CSV file with the columns file, caption and perhaps label")
    parser.add_argument("--out", type=Path, default=Path("embeddings"), help="folder to write to")
    parser.add_argument("--model", default=MODEL, help="name or folder of a CLIP model of transformers")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args()

    table = read_captions(arguments.captions, arguments.folder)
    model = CLIPModel.from_pretrained(arguments.model).to(arguments.device)
    processor = CLIPProcessor.from_pretrained(arguments.model)
    paths = [arguments.folder / name for name in table["file"]]
    images, texts = embed_images(paths, table["caption"].tolist(), model, processor, batch_size=arguments.batch_size)
    arguments.out.mkdir(parents=True, exist_ok=True)
    arrays = {"images": images, "texts": texts}
    if "label" in table:
        arrays["labels"] = table["label"].fillna("").to_numpy(dtype=str)
    for name, array in arrays.items():
        np.save(arguments.out / f"{name}.npy", array)
        print(f"wrote {arguments.out / name}.npy {array.shape}")
    given = ", ".join(repr(str(arguments.out / f"{name}.npy")) for name in arrays)
    print(f'mdata = clipdim.datasets.image_text({given})\nclipdim.tl.fit(mdata, use_rep="X")')


if __name__ == "__main__":
    main()
