"""The script of the tutorials on a small CLIP of random weights; nothing is downloaded."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import clipdim

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
Image = pytest.importorskip("PIL.Image")

CAPTIONS = ["a cat", "a dog on a cat", "dog", "cat cat cat cat cat cat cat cat cat cat cat cat cat cat cat cat"]


@pytest.fixture(scope="module")
def script():
    path = Path(__file__).parents[2] / "tutorials" / "embed_images.py"
    spec = importlib.util.spec_from_file_location("embed_images", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def model():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        towers = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
        tokens = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
        config = transformers.CLIPConfig(
            text_config={**towers, **tokens, "vocab_size": 40, "max_position_embeddings": 10},
            vision_config={**towers, "hidden_size": 24, "image_size": 28, "patch_size": 14},
            projection_dim=8,
        )
        return transformers.CLIPModel(config).train()


@pytest.fixture(scope="module")
def processor(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    letters = [*"acdgnot", *(f"{letter}</w>" for letter in "acdgnot")]
    words = ["ca", "cat</w>", "do", "dog</w>", "on</w>"]
    tokens = ["<|startoftext|>", "<|endoftext|>", *letters, *words]
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\nc a\nca t</w>\nd o\ndo g</w>\no n</w>\n")
    images = transformers.CLIPImageProcessor(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28})
    tokenizer = transformers.CLIPTokenizer.from_pretrained(folder)
    return transformers.CLIPProcessor(images, tokenizer)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for i, (mode, shape) in enumerate(
        [("RGB", (40, 30, 3)), ("L", (28, 28)), ("RGBA", (31, 60, 4)), ("RGB", (9, 9, 3))]
    ):
        Image.fromarray(rng.integers(256, size=shape, dtype=np.uint8), mode=None).convert(mode).save(
            folder / f"{i}.png"
        )
    return folder


@pytest.fixture
def paths(folder):
    return [folder / f"{i}.png" for i in range(4)]


def test_towers_before_projection(script, model, processor, paths):
    """Each pair on its own, by hand: the class token and the last token of the towers, normalised, not projected."""
    images, texts = script.embed_images(paths, CAPTIONS, model, processor, batch_size=3, progress=False)
    assert images.shape == (4, 24)
    assert texts.shape == (4, 16)
    assert images.dtype == texts.dtype == np.float32
    model.eval()
    for i, (path, caption) in enumerate(zip(paths, CAPTIONS, strict=True)):
        pixels = processor.image_processor(Image.open(path).convert("RGB"), return_tensors="pt")["pixel_values"]
        tokens = processor.tokenizer([caption], return_tensors="pt", truncation=True, max_length=10)["input_ids"]
        assert tokens[0, 0] == 0
        assert tokens[0, -1] == 1
        with torch.no_grad():
            vision = model.vision_model(pixels).last_hidden_state[:, 0]
            expected = model.vision_model.post_layernorm(vision)[0]
            text = model.text_model(tokens).last_hidden_state[0, -1]
            projected = model.get_image_features(pixels)
        np.testing.assert_allclose(images[i], expected, atol=1e-5)
        np.testing.assert_allclose(texts[i], text, atol=1e-5)
        projected = getattr(projected, "pooler_output", projected)
        np.testing.assert_allclose(
            model.visual_projection(torch.from_numpy(images[i : i + 1])).detach(), projected, atol=1e-5
        )


def test_from_the_command_line(script, model, processor, folder, paths, tmp_path, monkeypatch, capsys):
    table = pd.DataFrame({"file": [path.name for path in paths], "caption": CAPTIONS, "label": ["a", None, "b", "a"]})
    table.to_csv(tmp_path / "captions.csv", index=False)
    model.save_pretrained(tmp_path / "clip")
    processor.save_pretrained(tmp_path / "clip")
    arguments = [folder, tmp_path / "captions.csv", "--out", tmp_path / "out", "--model", tmp_path / "clip"]
    monkeypatch.setattr(sys, "argv", ["embed_images.py", *map(str, arguments), "--device", "cpu"])
    script.main()
    assert 'clipdim.tl.fit(mdata, use_rep="X")' in capsys.readouterr().out
    mdata = clipdim.datasets.image_text(*(tmp_path / "out" / f"{name}.npy" for name in ("images", "texts", "labels")))
    images, texts = script.embed_images(paths, CAPTIONS, model, processor, progress=False)
    np.testing.assert_allclose(mdata["image"].X, images, atol=1e-5)
    np.testing.assert_allclose(mdata["text"].X, texts, atol=1e-5)
    assert mdata.obs["label"].astype(object).fillna("?").tolist() == ["a", "?", "b", "a"]


def test_bad_input(script, model, processor, folder, paths, tmp_path):
    def captions(text):
        path = tmp_path / "captions.csv"
        path.write_text(text)
        return path

    for text, error, match in (
        ("file,text\n0.png,a cat\n", ValueError, "needs the columns file and caption"),
        ("file,caption\n", ValueError, "at least one row"),
        ("file,caption\n0.png,a cat\n1.png,\n", ValueError, "empty in 1 rows, first in row 2"),
        ("file,caption\n0.png,a cat\n8.png,dog\n", FileNotFoundError, r"1 of 2 files are not in .*\['8.png'\]"),
    ):
        with pytest.raises(error, match=match):
            script.read_captions(captions(text), folder)
    with pytest.raises(ValueError, match="4 images and 1 captions"):
        script.embed_images(paths, ["a cat"], model, processor, progress=False)
    (tmp_path / "broken.png").write_text("no image")
    with pytest.raises(ValueError, match=r"broken\.png cannot be read as an image"):
        script.embed_images([tmp_path / "broken.png"], ["a cat"], model, processor, progress=False)
