from functools import partial

import pytest
import torch
from timm.layers import ConvNormAct, SEModule
from torch import nn

from ecoNAS.models.attention_blocks import TokenBlock
from ecoNAS.models.constructor import call, import_statement, is_importable, sequence


def test_source_is_the_call_as_a_person_writes_it() -> None:
    assert call(nn.Linear, 8, 10, bias=False).source() == "nn.Linear(8, 10, bias=False)"


def test_source_of_a_sequence_stands_on_lines_of_its_own() -> None:
    source = sequence(call(nn.Flatten), call(nn.Linear, 4, 2)).source(indent=8)

    assert source == "nn.Sequential(\n            nn.Flatten(),\n            nn.Linear(4, 2),\n        )"


def test_source_of_many_arguments_is_filled_into_lines_that_fit() -> None:
    arguments = {f"argument_number_{i}": 1.5 for i in range(12)}
    source = call(ConvNormAct, 8, 8, **arguments).source(indent=12)

    first, *others = source.splitlines()
    assert first == "ConvNormAct("
    assert max(map(len, others)) <= 120
    assert len(others) == 4


def test_source_names_classes_and_partials_bare() -> None:
    constructor = call(ConvNormAct, 3, 8, act_layer=nn.SiLU, aa_layer=call(partial, SEModule, rd_ratio=0.25))

    assert "act_layer=nn.SiLU, aa_layer=partial(SEModule, rd_ratio=0.25)" in constructor.source()


def test_imports_come_from_where_a_person_would_import() -> None:
    constructor = sequence(call(ConvNormAct, 3, 8), call(partial, nn.SiLU))

    assert constructor.imports() == {
        "from functools import partial",
        "from timm.layers import ConvNormAct",
        "from torch import nn",
    }


def test_our_own_classes_are_not_imported() -> None:
    assert not is_importable(TokenBlock)
    assert call(TokenBlock, 4, call(nn.Identity)).imports() == {"from torch import nn"}


def test_build_makes_new_modules_with_new_weights() -> None:
    constructor = sequence(call(nn.Linear, 4, 4), call(nn.Linear, 4, 4))
    first, second = constructor.build(), constructor.build()

    assert first is not second
    assert not torch.equal(first[0].weight, second[0].weight)  # type: ignore[index,union-attr]
    assert not torch.equal(first[0].weight, first[1].weight)  # type: ignore[index,union-attr]


def test_a_constructor_of_no_module_is_our_own_mistake() -> None:
    with pytest.raises(AssertionError, match="is no module"):
        call(partial, nn.Linear, 4).build()


def test_equal_calls_are_equal_keys() -> None:
    assert {call(nn.Linear, 4, 4): 1}[call(nn.Linear, 4, 4)] == 1
    assert import_statement(nn.Linear) == "from torch import nn"
