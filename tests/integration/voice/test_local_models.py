"""Local engines with models of the operator's: what is missing is named, what is there speaks, hears and thinks.

Kokoro and Whisper run where `KOKORO_MODEL`, `KOKORO_VOICES` and `WHISPER_MODEL` say where their models are; llama.cpp
runs on a model that is made here, of random weights, which says nothing of sense.
"""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from call_service.voice.engines.bundle import Engines, SpeechUnavailableError, load_engines
from call_service.voice.engines.extras import Models, with_extras
from call_service.voice.ports import AgentProfile, EngineError, Say

SENTENCE = "Good morning, this is Maya of Bright Dental. How can I help you today?"


@pytest.fixture
async def null() -> Engines:
    return await load_engines("null")


@pytest.fixture
def kokoro() -> Models:
    if "KOKORO_MODEL" not in os.environ:
        pytest.skip("KOKORO_MODEL and KOKORO_VOICES say where Kokoro is")
    return Models(kokoro=Path(os.environ["KOKORO_MODEL"]), kokoro_voices=Path(os.environ["KOKORO_VOICES"]))


@pytest.fixture
def whisper() -> str:
    if "WHISPER_MODEL" not in os.environ:
        pytest.skip("WHISPER_MODEL says where Whisper is")
    return os.environ["WHISPER_MODEL"]


def a_model(path: Path) -> Path:
    """Two layers of llama with random weights and a token for each byte."""
    gguf = pytest.importorskip("gguf")
    random = np.random.default_rng(1)
    width, inner = 64, 128
    tokens = [b"<unk>", b"<s>", b"</s>", *(f"<0x{byte:02X}>".encode() for byte in range(256))]
    tokens += [bytes([char]) if char != 32 else "\u2581".encode() for char in range(32, 127)]
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_context_length(4096)
    writer.add_embedding_length(width)
    writer.add_block_count(2)
    writer.add_feed_forward_length(inner)
    writer.add_head_count(4)
    writer.add_head_count_kv(4)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(16)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * len(tokens))
    writer.add_token_types([2, 3, 3, *[6] * 256, *[1] * 95])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    shapes: dict[str, tuple[int, ...]] = {"token_embd": (len(tokens), width), "output": (len(tokens), width)}
    norms = ["output_norm"]
    for block in ("blk.0", "blk.1"):
        norms += [f"{block}.attn_norm", f"{block}.ffn_norm"]
        shapes |= {f"{block}.attn_{name}": (width, width) for name in ("q", "k", "v", "output")}
        shapes |= {f"{block}.ffn_gate": (inner, width), f"{block}.ffn_up": (inner, width)}
        shapes |= {f"{block}.ffn_down": (width, inner)}
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", 0.3 * random.standard_normal(shape).astype(np.float32))
    for name in norms:
        writer.add_tensor(f"{name}.weight", np.ones(width, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


async def outputs_of(outputs: AsyncIterator[object]) -> list[object]:
    return [output async for output in outputs]


@pytest.mark.parametrize(
    ("models", "says"),
    [
        (Models(kokoro=Path("none.onnx"), kokoro_voices=Path("none")), "KOKORO_MODEL: there is no folder or file none"),
        (Models(kokoro=Path("none.onnx")), "KOKORO_MODEL: KOKORO_VOICES has to say where the voices are"),
        (Models(gguf=Path("none.gguf")), "GGUF_MODEL: there is no file none.gguf"),
    ],
)
async def test_a_file_that_is_not_there_is_named_with_its_setting(null: Engines, models: Models, says: str) -> None:
    if models.gguf:
        pytest.importorskip("xllamacpp")
    with pytest.raises(SpeechUnavailableError, match=says):
        await with_extras(null, models)


async def test_files_of_something_else_are_refused(null: Engines, tmp_path: Path) -> None:
    junk = tmp_path / "junk.onnx"
    junk.write_bytes(b"It works!" * 100)
    voices = tmp_path / "voices"
    voices.mkdir()
    with pytest.raises(SpeechUnavailableError, match=r"KOKORO_MODEL: .*voices has no voices of Kokoro"):
        await with_extras(null, Models(kokoro=junk, kokoro_voices=voices))
    np.zeros((510, 256), "<f4").tofile(voices / "af_heart.bin")
    with pytest.raises(SpeechUnavailableError, match=r"KOKORO_MODEL: .*junk.onnx cannot be loaded"):
        await with_extras(null, Models(kokoro=junk, kokoro_voices=voices))


async def test_a_gguf_file_that_is_none_is_refused(null: Engines, tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    junk = tmp_path / "junk.gguf"
    junk.write_bytes(b"It works!" * 100)
    with pytest.raises(SpeechUnavailableError, match=r"GGUF_MODEL: .*junk.gguf cannot be loaded"):
        await with_extras(null, Models(gguf=junk))


async def test_a_missing_package_is_named_with_what_installs_it(
    null: Engines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "faster_whisper", None)
    monkeypatch.delitem(__import__("sys").modules, "call_service.voice.engines.whisper", raising=False)
    says = r"WHISPER_MODEL needs faster_whisper; `pip install 'talkstack\[whisper\]'` installs it."
    with pytest.raises(SpeechUnavailableError, match=says):
        await with_extras(null, Models(whisper=str(tmp_path)))


async def test_llama_cpp_thinks_in_this_process(null: Engines, tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    engines = await with_extras(null, Models(gguf=a_model(tmp_path / "tiny.gguf")))
    brain = engines.extras.llama
    assert brain is not None
    talk = brain.converse(
        AgentProfile(name="Maya", instructions="Be kind.", first_message="Hello there.", temperature=0)
    )
    try:
        assert await outputs_of(talk.opening()) == [Say("Hello there.")]
        said = await outputs_of(talk.reply("Hello?", []))
        assert any(isinstance(output, Say) and output.text for output in said)
    finally:
        await brain.close()
        engines.close()


async def test_kokoro_speaks_with_each_of_its_voices(null: Engines, kokoro: Models) -> None:
    local = await load_engines("local")
    engines = await with_extras(null, kokoro)
    voice = engines.extras.kokoro
    assert voice is not None
    try:
        for name in ("af_heart", "bm_george"):
            pcm = await voice.synthesize(SENTENCE, name)
            assert 3 < len(pcm) / 16_000 < 7
            heard = (await local.recognizer.recognize(pcm)).lower()
            assert {"good", "morning", "dental", "help", "today"} <= set(
                heard.replace(",", " ").replace(".", " ").replace("?", " ").split()
            )
        assert await voice.synthesize(SENTENCE, "bm_george") is pcm
        with pytest.raises(EngineError, match="there is no voice nobody; there are"):
            await voice.synthesize("Hello.", "nobody")
        with pytest.raises(EngineError, match="nothing that can be spoken"):
            await voice.synthesize("***", "af_heart")
    finally:
        engines.close()
        local.close()


async def test_whisper_understands_what_was_said(null: Engines, whisper: str) -> None:
    local = await load_engines("local")
    engines = await with_extras(null, Models(whisper=whisper))
    assert engines.extras.whisper is not None
    ear = engines.extras.whisper("en-US")
    try:
        heard = (await ear.recognize(await local.synthesizer.synthesize(SENTENCE, "heart"))).lower()
        assert {"morning,", "dental.", "help", "today?"} <= set(heard.split())
        assert await ear.recognize(bytes(2 * 8000)) == ""
        assert ear.is_busy is False
    finally:
        engines.close()
        local.close()


async def test_a_folder_without_a_model_is_refused(null: Engines, tmp_path: Path) -> None:
    pytest.importorskip("faster_whisper")
    with pytest.raises(SpeechUnavailableError, match="WHISPER_MODEL: "):
        await with_extras(null, Models(whisper=str(tmp_path)))
