"""Tests; the contract's assertions explain their failures as those in test modules do."""

import pytest

pytest.register_assert_rewrite("tests.contract", "tests.integration.replies")
