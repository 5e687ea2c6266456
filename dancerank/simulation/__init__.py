"""A world of clips and viewers in which policies of the traffic pools are compared.

What is assumed, all of it:

* *Quality.* A clip's eventual virality is Eq. 1 of its counts, s_r = log2(reactions per day), less the median of its
  challenge: challenges differ in how many watch them, not in how those who watch react. Every impression ends in a
  reaction, independently, with probability ``median_rate`` · 2^(s_r − median), at least ``LEAST_RATE`` and at most
  ``MOST_RATE``: a clip that ends up with twice the reactions is one that viewers react to twice as often.
* *Knowledge.* Policies see predicted scores, as percentiles within the challenge among the clips that came so far, and
  the counts that were reported; never virality or rates. The first ``BEFORE`` of the clips came before the simulated
  period: percentiles count them, pools do not take them, and their dancers are not newcomers.
* *Viewers.* Impressions happen only where a pool granted them. A grant is delivered evenly over ``DELIVERY_MS`` from
  its moment on; impressions and reactions so far are reported every ``REPORT_MS``, when the pools' round is done too.
* *Common random numbers.* Arrivals are the same under every policy, and so is the outcome of a clip's k-th view.
"""
