"""What the AEDAT4 decoder dies of ends nothing but its own process."""

import pytest

from spikeva.events import EventFileError, open_events


@pytest.mark.parametrize("strict", [True, False])
def test_a_decoder_that_dies_is_an_error_of_the_file(tmp_path, monkeypatch, strict):
    pytest.importorskip("aedat")
    path = tmp_path / "odd.aedat4"
    path.write_bytes(b"#!AER-DAT4.0\r\n" + (16).to_bytes(4, "little") + bytes(16))
    monkeypatch.setattr("sys.executable", "false")  # a program that ends at once with code 1
    with pytest.raises(
        EventFileError, match=r"odd\.aedat4: the packets cannot be decoded \(the decoder ended with code 1\)"
    ):
        open_events(path, strict=strict).read()


def test_what_the_decoder_says_is_passed_on(tmp_path):
    pytest.importorskip("aedat")
    path = tmp_path / "odd.aedat4"
    path.write_bytes(b"#!AER-DAT4.0\r\n" + (16).to_bytes(4, "little") + bytes(16))
    with pytest.raises(EventFileError, match="cannot be decoded") as error:
        open_events(path)
    assert "ended with code" not in str(error.value)
