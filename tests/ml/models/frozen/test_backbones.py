import hashlib
import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import open_clip
import pytest
import torch
from segment_anything import sam_model_registry

from ml.errors import UserError
from ml.labeling.geometry.eye import Eye
from ml.models.frozen import backbones, fetch, sam
from ml.models.frozen.backbones import TOYTOWN, load_backbones_stage
from ml.models.frozen.clip import load_captioner, load_clip
from ml.models.frozen.sam import load_sam
from ml.params import Backbones
from ml.workspace.settings import preset

TINY_CLIP = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 8, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}
TINY_COCA = TINY_CLIP | {
    "vision_cfg": TINY_CLIP["vision_cfg"] | {"attentional_pool": True, "attn_pooler_heads": 2, "output_tokens": True},
    "text_cfg": TINY_CLIP["text_cfg"] | {"embed_cls": True, "output_tokens": True},
    "multimodal_cfg": {"context_length": 8, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
    "custom_text": True,
}


def params(clip: dict | None = None, sam: dict | None = None) -> Backbones:
    base = preset("toytown").backbones.model_dump()
    return Backbones(sam=base["sam"] | (sam or {}), clip=base["clip"] | (clip or {}))


@pytest.fixture
def small_sam(monkeypatch: pytest.MonkeyPatch) -> sam.SamConfig:
    """vit_b as small as a test wants it."""
    config = sam.SamConfig("tiny", 64, 32, 1, 2, 32)
    monkeypatch.setitem(sam_model_registry, "vit_b", lambda: sam.build_sam(config))
    return config


@pytest.fixture
def small_clip(tmp_path: Path) -> Path:
    """A folder with open_clip models of two made-up architectures, and their checkpoints."""
    folder = tmp_path / "configs"
    folder.mkdir()
    for name, architecture in (("tiny-clip", TINY_CLIP), ("tiny-coca", TINY_COCA)):
        (folder / f"{name}.json").write_text(json.dumps(architecture))
        open_clip.add_model_config(folder / f"{name}.json")
        torch.manual_seed(0)
        model = open_clip.create_model(name)
        if hasattr(model, "text_decoder"):
            torch.nn.init.normal_(model.text_decoder.text_projection)
        torch.save(model.state_dict(), folder / f"{name}.pt")
    return folder


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()


def test_toytown_ships_what_its_checksums_say(tmp_path: Path) -> None:
    report = load_backbones_stage(params(), tmp_path, tmp_path / "out")
    names = {row["file"] for row in report.tables["files"]}
    assert names == {"sam.json", "sam.safetensors", "clip.json", "clip.safetensors", "clip_merges.txt.gz"}
    assert (tmp_path / "out/sam.safetensors").read_bytes() == (TOYTOWN / "sam.safetensors").read_bytes()
    assert load_sam(tmp_path / "out").image_size == 256
    assert load_captioner(tmp_path / "out").captions
    assert sum(file.stat().st_size for file in TOYTOWN.iterdir()) < 20e6


def test_a_changed_weight_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for file in TOYTOWN.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "clip.safetensors").write_bytes((TOYTOWN / "clip.safetensors").read_bytes()[:-1] + b"!")
    monkeypatch.setattr(backbones, "TOYTOWN", tmp_path)
    with pytest.raises(UserError, match=r"clip\.safetensors: sha256 is"):
        load_backbones_stage(params(), tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_official_checkpoint_keeps_its_weights(tmp_path: Path, small_sam: sam.SamConfig) -> None:
    torch.manual_seed(3)
    model = sam.build_sam(small_sam)
    torch.save(model.state_dict(), tmp_path / "sam_vit_b.pth")
    digest = hashlib.sha256((tmp_path / "sam_vit_b.pth").read_bytes()).hexdigest()
    source = {"model_type": "vit_b", "checkpoint": str(tmp_path / "sam_vit_b.pth"), "sha256": digest}
    load_backbones_stage(params(sam=source), tmp_path, tmp_path / "out")
    loaded = load_sam(tmp_path / "out")
    assert loaded.image_size == 1024 and loaded.config.model_type == "vit_b"
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.model.state_dict()[name], tensor)


def test_a_checkpoint_is_downloaded_once_and_verified(
    tmp_path: Path, small_sam: sam.SamConfig, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(fetch, "RETRIES", 0)
    torch.save(sam.build_sam(small_sam).state_dict(), tmp_path / "sam_vit_b.pth")
    digest = hashlib.sha256((tmp_path / "sam_vit_b.pth").read_bytes()).hexdigest()
    source = {"model_type": "vit_b", "checkpoint": f"{server}/sam_vit_b.pth", "sha256": "0" * 64}
    with pytest.raises(UserError, match="wanted 0000"):
        load_backbones_stage(params(sam=source), tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    load_backbones_stage(params(sam=source | {"sha256": digest}), tmp_path, tmp_path / "out")
    (tmp_path / "sam_vit_b.pth").unlink()
    load_backbones_stage(params(sam=source | {"sha256": digest}), tmp_path, tmp_path / "again")
    again, out = (tmp_path / name / "sam.safetensors" for name in ("again", "out"))
    assert again.read_bytes() == out.read_bytes()


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04 cut"])
def test_a_corrupt_checkpoint_is_one_line(tmp_path: Path, small_sam: sam.SamConfig, content: bytes) -> None:
    (tmp_path / "sam.pth").write_bytes(content)
    with pytest.raises(UserError, match=r"is empty|no checkpoint") as error:
        load_backbones_stage(
            params(sam={"model_type": "vit_b", "checkpoint": str(tmp_path / "sam.pth")}), tmp_path, tmp_path / "out"
        )
    assert "\n" not in str(error.value) and not (tmp_path / "out").exists()


def test_a_missing_checkpoint_names_its_key(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"params.backbones.sam.checkpoint: /nowhere"):
        load_backbones_stage(params(sam={"model_type": "vit_b", "checkpoint": "/nowhere"}), tmp_path, tmp_path / "out")
    with pytest.raises(UserError, match=r"params.backbones.clip.pretrained: nowhere"):
        load_backbones_stage(
            params(clip={"model_name": "ViT-B-32", "pretrained": "nowhere"}), tmp_path, tmp_path / "out"
        )
    with pytest.raises(UserError, match="open_clip has no model 'ViT-L14'; it has ViT-L-14"):
        load_backbones_stage(params(clip={"model_name": "ViT-L14", "pretrained": "openai"}), tmp_path, tmp_path / "out")


def test_open_clip_models_embed_and_caption_as_they_do_there(tmp_path: Path, small_clip: Path) -> None:
    source = {
        "model_name": "tiny-clip",
        "pretrained": str(small_clip / "tiny-clip.pt"),
        "captioner_name": "tiny-coca",
        "captioner_pretrained": str(small_clip / "tiny-coca.pt"),
    }
    load_backbones_stage(params(clip=source), tmp_path, tmp_path / "out")
    clip, captioner = load_clip(tmp_path / "out"), load_captioner(tmp_path / "out")
    theirs = open_clip.create_model("tiny-clip", str(small_clip / "tiny-clip.pt")).eval()
    ids = clip.tokenize(["a red car"])
    crops = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    with torch.no_grad():
        torch.testing.assert_close(clip.encode_text(ids).pooled, theirs.encode_text(ids, normalize=True))
        expected = theirs.encode_image(clip.normalize(crops), normalize=True)
    torch.testing.assert_close(clip.encode_image(crops), expected)
    assert clip.encode_text(ids).tokens.shape == (1, 8, 2 * 16)
    assert not clip.captions and captioner.captions and len(captioner.caption(crops)) == 2


def test_a_path_starts_in_the_workspace(
    tmp_path: Path, small_sam: sam.SamConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, elsewhere = tmp_path / "town", tmp_path / "elsewhere"
    (workspace / "checkpoints").mkdir(parents=True)
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    torch.save(sam.build_sam(small_sam).state_dict(), workspace / "checkpoints" / "sam.pth")
    source = {"model_type": "vit_b", "checkpoint": "checkpoints/sam.pth"}
    load_backbones_stage(params(sam=source), workspace, tmp_path / "out")
    with pytest.raises(UserError, match=r"sam.checkpoint: checkpoints/sam.pth is no file"):
        load_backbones_stage(params(sam=source), elsewhere, tmp_path / "again")


def test_a_sam_of_another_size_is_named(tmp_path: Path, small_sam: sam.SamConfig) -> None:
    weights = {"image_encoder.pos_embed": torch.zeros(1, 64, 64, 1280)}
    torch.save(weights, tmp_path / "sam.pth")
    source = {"model_type": "vit_b", "checkpoint": "sam.pth"}
    with pytest.raises(
        UserError, match=r"is a SAM vit_h; set params\.backbones\.sam\.model_type to vit_h, it is vit_b"
    ):
        load_backbones_stage(params(sam=source), tmp_path, tmp_path / "out")


def test_the_captioner_has_a_checksum_of_its_own(tmp_path: Path, small_clip: Path) -> None:
    source = {
        "captioner_name": "tiny-coca",
        "captioner_pretrained": str(small_clip / "tiny-coca.pt"),
        "captioner_sha256": "0" * 64,
    }
    with pytest.raises(UserError, match=r"tiny-coca.pt: sha256 is .* wanted 000"):
        load_backbones_stage(params(clip=source), tmp_path, tmp_path / "out")


@pytest.mark.parametrize("kind", ["known by the name", "known by the weights", "not known"])
def test_openais_weights_run_with_quickgelu(tmp_path: Path, small_clip: Path, kind: str) -> None:
    """Their activation is no weight: nothing fails without it, and all numbers are others."""
    state = torch.load(small_clip / "tiny-clip.pt")
    if kind == "known by the weights":
        torch.save(state | {"context_length": torch.tensor(8)}, small_clip / "tiny-clip.pt")
    name = "tiny-clip-quickgelu" if kind == "known by the name" else "tiny-clip"
    (small_clip / f"{name}.json").write_text(json.dumps(TINY_CLIP | ({"quick_gelu": True} if "quick" in name else {})))
    open_clip.add_model_config(small_clip / f"{name}.json")
    source = {"model_name": name, "pretrained": str(small_clip / "tiny-clip.pt")}
    report = load_backbones_stage(params(clip=source), tmp_path, tmp_path / "out")
    crops = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    clip, theirs = (
        load_clip(tmp_path / "out"),
        open_clip.create_model("tiny-clip", force_quick_gelu=kind != "not known"),
    )
    theirs.load_state_dict(state)
    with torch.no_grad():
        expected = theirs.eval().encode_image(clip.normalize(crops), normalize=True)
    torch.testing.assert_close(clip.encode_image(crops), expected)
    (said,) = [row["activation"] for row in report.tables["files"] if row["file"] == "clip.json"]
    assert said == ("GELU" if kind == "not known" else "QuickGELU")


@pytest.mark.parametrize("offline", [True, False])
def test_a_tag_without_the_hub_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offline: bool) -> None:
    def unreachable(*args: object, **kwargs: object) -> str:
        raise FileNotFoundError("Failed to download file (open_clip_model.safetensors)")

    monkeypatch.setattr(fetch, "download_pretrained", unreachable)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1" if offline else "0")
    wanted = "and HF_HUB_OFFLINE is set; unset it" if offline else "could not be fetched .*; look at the connection"
    with pytest.raises(UserError, match=rf"clip.pretrained: timm/vit_base_patch32_clip_224.openai .*{wanted}"):
        load_backbones_stage(
            params(clip={"model_name": "ViT-B-32", "pretrained": "openai"}), tmp_path, tmp_path / "out"
        )


def test_a_tags_weights_have_to_be_those_of_the_checksum(
    tmp_path: Path, small_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "download_pretrained", lambda tag: str(small_clip / "tiny-clip.pt"))
    monkeypatch.setattr(
        open_clip, "get_pretrained_cfg", lambda name, tag: {"hf_hub": "a/b", "interpolation": "bilinear"}
    )
    source = {"model_name": "tiny-clip", "pretrained": "laion", "sha256": "0" * 64}
    with pytest.raises(UserError, match=r"tiny-clip.pt: sha256 is .* wanted 000"):
        load_backbones_stage(params(clip=source), tmp_path, tmp_path / "out")
    load_backbones_stage(params(clip=source | {"sha256": None}), tmp_path, tmp_path / "out")
    assert load_clip(tmp_path / "out").eye == Eye(32, "bilinear", "shortest")
