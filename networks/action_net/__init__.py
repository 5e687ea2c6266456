"""ACTION-NET (Zeng et al., ACM MM 2020): the score of a long routine from its motion and its postures.

``docs/decisions/0046-action-net.md`` says where paper and public code differ, and what is done here.
"""

from networks.action_net.network import PAPER_WIDTHS, ActionNet, RoutineOutput, Widths
from networks.action_net.official import load_official

__all__ = ["PAPER_WIDTHS", "ActionNet", "RoutineOutput", "Widths", "load_official"]
