"""Eq. (12) with absent modalities."""

from itertools import product

import torch

from networks.fusion import AttentiveFusion

DIMS = (4, 6, 6, 3)


def fusion_and_clips() -> tuple[AttentiveFusion, torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    present = torch.tensor(list(product([False, True], repeat=4)))
    embeddings = torch.randn(16, sum(DIMS)) * present.repeat_interleave(torch.tensor(DIMS), dim=1)
    return AttentiveFusion(sum(DIMS), 4, 8), embeddings, torch.randn(16, 4), present


@torch.inference_mode()
def test_attention_is_the_softmax_over_the_present_modalities() -> None:
    fusion, embeddings, scores, present = fusion_and_clips()
    attention, fused = fusion(embeddings, scores, present)
    for clip in range(1, 16):
        logits = embeddings[clip] @ fusion.hidden.weight.T @ fusion.output.weight.T
        here = present[clip]
        expected = torch.softmax(logits[here], dim=0)
        torch.testing.assert_close(attention[clip, here], expected)
        assert (attention[clip, ~here] == 0).all()
        torch.testing.assert_close(fused[clip], (expected * scores[clip, here]).sum())


def test_a_clip_without_any_modality_is_zero_and_poisons_no_neighbour() -> None:
    fusion, embeddings, scores, present = fusion_and_clips()
    attention, fused = fusion(embeddings, scores, present)
    assert not attention[0].any()
    assert fused[0] == 0
    fused.sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in fusion.parameters())


@torch.inference_mode()
def test_the_score_of_an_absent_modality_is_never_read() -> None:
    fusion, embeddings, scores, present = fusion_and_clips()
    expected = fusion(embeddings, scores, present).fused_score
    assert torch.equal(fusion(embeddings, torch.where(present, scores, torch.nan), present).fused_score, expected)


def test_the_layers_are_two_and_bare() -> None:
    assert [name for name, _ in AttentiveFusion(19, 4, 128).named_parameters()] == ["hidden.weight", "output.weight"]
