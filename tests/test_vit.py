import pytest

torch = pytest.importorskip("torch")

from tracker.networks.vit import Block, Norm, Vit, VitConfig, patches  # noqa: E402

SMALL = VitConfig(depth=2, width=64, heads=4)


def filled(module: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in module.parameters():
            tensor.copy_(0.2 * torch.randn(tensor.shape, generator=generator))
    return module.eval().requires_grad_(False)


def random(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_patches_are_what_a_convolution_with_padding_2_reads() -> None:
    crops, weight = random(2, 3, 256, 192), random(64, 3, 16, 16)
    expected = torch.nn.functional.conv2d(crops, weight, stride=16, padding=2).flatten(2).mT
    torch.testing.assert_close(patches(crops) @ weight.flatten(1).T, expected, rtol=0, atol=1e-3)


def test_attention_equals_the_formula_written_out() -> None:
    block = filled(Block(SMALL, torch.float32))
    x = random(2, 5, 64)
    rows = []
    for sample in x:
        heads = []
        q, k, v = (part.view(5, 4, 16) for part in block.qkv(sample).split(64, dim=-1))
        for head in range(4):
            scores = q[:, head] @ k[:, head].T / 16**0.5
            heads.append(torch.softmax(scores, dim=-1) @ v[:, head])
        rows.append(block.out(torch.cat(heads, dim=-1)))
    torch.testing.assert_close(block.attend(x), torch.stack(rows))


def test_a_block_moves_tokens_with_their_places() -> None:
    block = filled(Block(SMALL, torch.float32))
    x, order = random(1, 7, 64), torch.tensor([3, 0, 6, 1, 5, 2, 4])
    torch.testing.assert_close(block(x)[:, order], block(x[:, order]))


def test_positions_tell_patches_apart() -> None:
    vit = filled(Vit(SMALL, torch.float32))
    tokens = vit(torch.zeros(1, 3, 256, 192))
    assert tokens.shape == (1, 192, 64)
    assert not torch.allclose(tokens[0, 0], tokens[0, 1])


def test_a_batch_of_two_equals_two_of_one() -> None:
    vit = filled(Vit(SMALL, torch.float32))
    crops = random(2, 3, 256, 192)
    alone = torch.cat([vit(crops[:1]), vit(crops[1:])])
    torch.testing.assert_close(vit(crops), alone, rtol=0, atol=1e-5)


def test_the_norm_counts_in_float32_whatever_comes_in() -> None:
    norm = filled(Norm(64, eps=1e-6, output_dtype=torch.float16))
    x = 300 * random(3, 64).half()  # the squares overflow float16
    expected = torch.nn.functional.layer_norm(x.float(), (64,), norm.weight, norm.bias, 1e-6).half()
    assert torch.equal(norm(x), expected)


def test_half_precision_keeps_the_residual_stream_in_float32() -> None:
    block = filled(Block(SMALL, torch.bfloat16))
    assert block(random(1, 3, 64)).dtype == torch.float32
    assert filled(Vit(SMALL, torch.bfloat16))(random(1, 3, 256, 192)).dtype == torch.bfloat16
