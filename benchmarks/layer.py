"""One bare LIF layer, forward and backward, side by side with snntorch, norse, spikingjelly and ReLU.

    python benchmarks/layer.py [--threads 1] [--shape 16 8 64 32 32] [--dtype float32] [--repeats 9] [--memory default|kept]

All start from the same input with the same decay, threshold and hard reset (not detached), and the surrogate atan of slope
2 (norse has none: its super), which is snntorch's and spikingjelly's default; ours, a sigmoid, is shown beside. Bytes moved are those a perfect kernel must move (read x, write s; read x and the spikes' gradient, write
x's: 5 values a neuron and step); "of copy" is their rate over that of a plain copy measured in the same run.
"""

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
import sidebyside as side
import torch
from torch import Tensor

from spikeva.neurons import make_neuron

BETA, THETA = 0.9, 1.0


def contestants(shape: tuple[int, ...], dtype: torch.dtype, device: str) -> dict[str, Callable[[], Any]]:
    """What is compared: name -> one forward and backward over the whole sequence."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=generator).to(device, dtype).requires_grad_()
    grad = torch.randn(shape, generator=generator).to(device, dtype)

    def step(forward: Callable[[Tensor], Tensor]) -> Callable[[], None]:
        def run() -> None:
            x.grad = None
            out = forward(x)
            out.backward(grad.to(out.dtype))

        return run

    neuron = make_neuron("lif", beta=BETA, theta=THETA, reset="zero", detach_reset=False, surrogate="atan", slope=2.0)
    neuron = neuron.to(device)
    sigmoid = make_neuron("lif", beta=BETA, theta=THETA, reset="zero", detach_reset=False).to(device)
    found = {
        "ReLU": step(torch.relu),
        "spikeva fused": step(lambda x: neuron(x)[0]),
        "spikeva fused, sigmoid": step(lambda x: sigmoid(x)[0]),
    }
    if side.found("snntorch"):
        import snntorch

        for name, delay in (("snntorch, hard reset", False), ("snntorch, delayed reset", True)):
            leaky = snntorch.Leaky(
                beta=BETA, threshold=THETA, reset_mechanism="subtract" if delay else "zero", reset_delay=delay
            ).to(device)

            def loop(x: Tensor, leaky: Any = leaky) -> Tensor:
                membrane, spikes = leaky.reset_mem(), []
                for current in x:
                    spike, membrane = leaky(current, membrane)
                    spikes.append(spike)
                return torch.stack(spikes)

            found[name] = step(loop)
    if side.found("norse"):
        from norse.torch import LIFBoxCell, LIFBoxParameters, Lift

        box = Lift(LIFBoxCell(LIFBoxParameters(tau_mem_inv=torch.tensor(1 - BETA)), dt=1.0)).to(device)
        found["norse LIFBox"] = step(lambda x: box(x / (1 - BETA))[0])
    if side.found("spikingjelly"):
        from spikingjelly.activation_based import functional, surrogate
        from spikingjelly.activation_based.neuron import LIFNode

        node = LIFNode(
            1 / (1 - BETA), decay_input=False, v_threshold=THETA, v_reset=0.0, detach_reset=False,
            surrogate_function=surrogate.ATan(), step_mode="m",
        ).to(device)  # fmt: skip

        def multistep(x: Tensor) -> Tensor:
            functional.reset_net(node)
            spikes: Tensor = node(x)
            return spikes

        found["spikingjelly, multi-step"] = step(multistep)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--shape", type=int, nargs=5, default=[16, 8, 64, 32, 32], help="T B C H W")
    parser.add_argument("--dtype", choices=["float32", "bfloat16", "float16"], default="float32")
    parser.add_argument("--repeats", type=int, default=9)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    cuda = torch.cuda.is_available()
    dtype: torch.dtype = getattr(torch, args.dtype)
    side.environment("snntorch", "norse", "spikingjelly", *(["triton"] if cuda else []))
    runs = contestants(tuple(args.shape), dtype, "cuda" if cuda else "cpu")
    a = torch.empty(args.shape, dtype=dtype, device="cuda" if cuda else "cpu").normal_()
    b = torch.empty_like(a)
    times = side.in_turns({"copy": lambda: b.copy_(a), **runs}, args.repeats, cuda, seconds=100)
    per_element = a.element_size()
    copy_rate = 2 * per_element * a.numel() / times.pop("copy")
    ours, relu = times["spikeva fused"], times["ReLU"]
    rows = [
        (
            name, f"{ms:.2f}", f"{ms / relu:.2f}", f"{ms / ours:.1f}",
            f"{100 * 5 * per_element * a.numel() / ms / copy_rate:.0f} %" if name == "spikeva fused" else "",
        )
        for name, ms in times.items()
    ]  # fmt: skip
    head = ("layer", "ms", "/ ReLU", "/ spikeva", f"{5 * per_element} B a neuron-step, of copy")
    side.table(f"LIF {args.shape}, {args.dtype}, forward + backward (median of {args.repeats})", head, rows)
    print(f"\ncopy: {copy_rate / 1e6:.1f} GB/s read and written")
    if not cuda:  # what spikes kept as bits for the backward pass of the layer after them would cost
        # by numpy: torch's threads, once started here, would hang the processes that are forked below
        spikes = torch.from_numpy((a.float().numpy() > 1.3).astype(np.float32))
        bits = np.packbits(spikes.numpy() != 0)
        packing = side.in_turns(
            {
                "pack": lambda: np.packbits(spikes.numpy() != 0),
                "unpack": lambda: torch.from_numpy(np.unpackbits(bits)).float(),
            },
            args.repeats,
        )
        print(
            f"spikes as bits: {packing['pack']:.2f} ms to pack, {packing['unpack']:.2f} ms to unpack, "
            f"{bits.nbytes / 1e6:.1f} MB for {spikes.numel() * 4e-6:.1f} MB"
        )


if __name__ == "__main__":
    side.in_both_memories(main)
