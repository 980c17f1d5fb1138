"""The page about the read model says what there is."""

import re
from pathlib import Path

from streams.store.measures import Measures

PAGE = Path(__file__).parents[2] / "docs" / "operating.md"


def test_every_metric_of_the_projector_is_explained_and_no_other() -> None:
    section = PAGE.read_text("utf-8").split("\n## The read model\n")[1].split("\n## ")[0]
    explained = set(re.findall(r"^\| `(meter_[a-z_]+)", section, re.MULTILINE))
    metrics = Measures().registry.collect()
    assert explained == {f"{m.name}_total" if m.type == "counter" else m.name for m in metrics}
