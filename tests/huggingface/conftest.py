"""Marks that transformers' common tests carry, which pytest has to know."""

import pytest

MARKS = (
    "accelerate_tests",
    "flash_attn_test",
    "flash_attn_3_test",
    "flash_attn_4_test",
    "torch_compile_test",
)


def pytest_configure(config: pytest.Config):
    for name in MARKS:
        config.addinivalue_line("markers", f"{name}: of transformers")
