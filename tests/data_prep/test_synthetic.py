from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pytest
from wording import wording

from asr.utils.errors import InputError
from data_prep.synthetic import _ACCENTS, _TIMBRES, RATE, speak

pytest.importorskip("espeakng_loader", reason="eSpeak NG is not installed: pip install 'kikitori[phones]'")


def test_a_word_is_as_long_and_loud_as_a_word() -> None:
    samples = speak("seven")
    assert samples.dtype == np.float32
    assert samples.ndim == 1
    assert 0.25 * RATE < len(samples) < 1.0 * RATE
    assert 0.1 < np.abs(samples).max() <= 1
    assert 0.01 < np.sqrt(np.mean(samples**2)) < 0.5


def test_more_text_takes_longer_and_faster_speech_shorter() -> None:
    assert len(speak("seven seven seven")) > 1.7 * len(speak("seven"))
    assert len(speak("seven", rate=100)) > 1.5 * len(speak("seven", rate=250))


def test_pitch_is_heard() -> None:
    def pitch(samples: np.ndarray) -> float:
        """Hz, of the strongest peak of the autocorrelation between 60 and 200 Hz in the loudest 50 ms."""
        width = RATE // 20
        at = int(np.convolve(samples**2, np.ones(width), "valid").argmax())
        piece = samples[at : at + width]
        lags = np.correlate(piece, piece, "full")[width - 1 :]
        low, high = RATE // 200, RATE // 60
        return RATE / (low + int(lags[low:high].argmax()))

    assert pitch(speak("aah", pitch=75)) > 1.2 * pitch(speak("aah", pitch=25))


def test_voices_differ() -> None:
    voices = [speak("seven", voice=voice) for voice in ("en-us", "en-us+f3", "en-gb-scotland", "de")]
    lengths = [len(samples) for samples in voices]
    spectra = [np.abs(np.fft.rfft(samples, 1 << 15))[:8000] for samples in voices]
    for i in range(4):
        for j in range(i):
            assert lengths[i] != lengths[j] or np.corrcoef(spectra[i], spectra[j])[0, 1] < 0.9


def test_all_voices_of_the_corpus_are_there_and_none_is_on_two_sides() -> None:
    timbres = [timbre for found in _TIMBRES.values() for timbre in found]
    assert len(set(timbres)) == len(timbres)
    for accent in _ACCENTS:
        assert len(speak("one", voice=f"{accent}+{timbres[0]}")) > 1000
    for timbre in timbres:
        assert len(speak("one", voice=f"en-us+{timbre}")) > 1000


@pytest.mark.parametrize("voice", ["xx-none", "", "en-us+nobody", "xx-none+f3", "en-us+"])
def test_unknown_voices(voice: str) -> None:
    with pytest.raises(InputError, match=wording("no-voice")):
        speak("one", voice=voice)


def test_each_process_speaks_alike() -> None:
    """eSpeak NG draws breath and flutter at random, from the time of day unless told otherwise."""
    code = """if True:
        import hashlib
        from data_prep.synthetic import speak
        print(hashlib.sha256(b"".join(speak("one", voice=v).tobytes() for v in ("en-us+f3", "en-us+f2"))).hexdigest())
    """
    first = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    time.sleep(1)  # that time is in whole seconds
    second = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert first.stdout == second.stdout
    assert len(first.stdout) == 65
