"""Issuer and customers of printed bills: a file that is read again when it has changed, and never stops a bill."""

import os
from pathlib import Path

import pytest

from streams.errors import SettingError
from streams.http.parties import PartiesFile

GOOD = '[issuer]\nname = "示例云计算有限公司"\n[customers."a/b 🎬"]\nname = " Ltd "\ntax_number = "91"\n'


def written(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


def test_the_file_names_issuer_and_customers(tmp_path: Path) -> None:
    parties = PartiesFile(written(tmp_path / "parties.toml", "\ufeff" + GOOD)).parties()
    assert parties.issuer is not None
    assert parties.issuer.name == "示例云计算有限公司"
    assert (parties.customers["a/b 🎬"].name, parties.customers["a/b 🎬"].tax_number) == ("Ltd", "91")


def test_without_a_file_nobody_is_named() -> None:
    assert PartiesFile(None).parties().issuer is None


def test_a_file_that_has_changed_is_read_again_and_a_wrong_one_is_not_believed(tmp_path: Path) -> None:
    path = written(tmp_path / "parties.toml", GOOD)
    file = PartiesFile(path)
    written(path, GOOD + '[customers.B]\nname = "B"\n')
    assert set(file.parties().customers) == {"a/b 🎬", "B"}
    for wrong in ("[issuer", '[issuer]\nnam = "x"\n'):
        written(path, wrong)
        assert set(file.parties().customers) == {"a/b 🎬", "B"}
    path.unlink()
    assert set(file.parties().customers) == {"a/b 🎬", "B"}
    written(path, GOOD)
    os.utime(path, ns=(1, 1))
    assert set(file.parties().customers) == {"a/b 🎬"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[issuer", "parties.toml: "),
        ('[issuer]\nnam = "x"\n', "issuer.name: Field required"),
        ('[issuer]\nname = ""\n', "issuer.name: String should have at least 1 character"),
        ('[customers.A]\nname = "A"\ntaxnumber = "9"\n', "customers.A.taxnumber: Extra inputs are not permitted"),
        ('[issuers]\nname = "A"\n', "issuers: Extra inputs are not permitted"),
    ],
)
def test_a_wrong_file_is_one_line_at_the_start(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SettingError, match="METER_PARTIES_FILE: ") as refused:
        PartiesFile(written(tmp_path / "parties.toml", text))
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="No such file"):
        PartiesFile(tmp_path / "parties.toml")
    with pytest.raises(SettingError, match="Is a directory"):
        PartiesFile(tmp_path)
