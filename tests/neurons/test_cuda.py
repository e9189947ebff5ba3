"""The tests of the fused kernels once more, on a GPU."""

import pytest
import torch
from test_bnlif import (  # noqa: F401  (collected here)
    test_equals_one_after_the_other,
    test_no_affine_and_no_running_statistics,
    test_running_statistics_are_pytorchs,
    test_statistics_hold_far_from_zero,
)
from test_fused import (  # noqa: F401  (collected here)
    test_a_net_trained_200_steps_ends_as_with_the_eager_reference,
    test_checkpointing_gives_the_same_gradients,
    test_compiles_as_one_graph,
    test_equals_the_eager_reference,
    test_half_precision_keeps_a_float32_state,
    test_operator_is_registered_as_pytorch_asks,
)

if not torch.cuda.is_available():
    pytest.skip("needs a CUDA device", allow_module_level=True)


@pytest.fixture(scope="session")
def device() -> str:
    return "cuda"
