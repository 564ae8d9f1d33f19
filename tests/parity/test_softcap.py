"""Softly capped logits are cap · tanh(logits / cap), there and back."""

from __future__ import annotations

import pytest
import torch

from fathom.networks.language.softcap import softcapped


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_as_autograd_would_say_it(dtype):
    torch.manual_seed(0)
    given = (30 * torch.randn(3, 5, 40)).to(dtype)
    weights = torch.randn(3, 5, 40)
    said, plain = given.clone().requires_grad_(), given.clone().requires_grad_()
    found, wanted = softcapped(said, 15.0), 15.0 * torch.tanh(plain.float() / 15.0)
    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-5)
    (found * weights).sum().backward()
    (wanted * weights).sum().backward()
    assert said.grad.dtype == dtype
    torch.testing.assert_close(said.grad, plain.grad, rtol=1e-2, atol=1e-5)


def test_what_is_capped_stays_as_it_was():
    given = torch.tensor([100.0, -100.0])
    softcapped(given, 10.0)
    assert given.tolist() == [100.0, -100.0]


def test_no_cap():
    given = torch.tensor([100.0, -100.0], dtype=torch.bfloat16)
    assert softcapped(given, 0.0).tolist() == [100.0, -100.0]
    assert softcapped(given, 0.0).dtype == torch.float32
