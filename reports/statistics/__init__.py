"""Numbers over seeds: intervals, tests and ranks; plain numbers in, estimates out.

The intervals and tests of every table, figure, sentence and page, and of ``compare``; this is the
one list of them:

* **One interval**, 95 %: Student's, from the spread of whole seeds, clipped to the range of the
  number (``interval.py``). The standard error of a mean is the textbook's; that of an interquartile
  mean, a median or a hypervolume is found by a bootstrap over seeds (``bootstrap.py``). A share of
  fine-tuning's forgetting, which is a ratio of means, has Fieller's interval (``ratio.py``). With
  fewer than ``interval.FEWEST_SEEDS`` seeds, the values of the seeds are shown instead. A
  performance profile has the interval of a mean at each threshold (``profile.py``).
* **One paired test**: the sign-flip test of whole seeds (``permutation.sign_flip``), for pairs of
  runs with the same seed (``pairs.py``), with Holm's correction where there are several
  (``holm.py``). Stores without seeds in common are compared by the permutation test of two groups
  (``permutation.two_groups``, ``two_samples.py``).
* **One rule for seeds that are far from all others** (``collapse.py``), for collapsed runs and
  unstable training.

Measured by simulation (20,000 each; Fieller's 4,000), per cent: how often the interval covers the
true value, and how often the test at 5 % finds a difference where there is none (three scenarios,
correlation 0.5):

=========================  =====  =====  =====  =====
seeds                      n=3    n=5    n=10   n=20
=========================  =====  =====  =====  =====
interval, normal           95     95     95     95
interval, beta(18, 2)      93     92     93     94
interval, beta(48, 2)      92     92     92     93
interval, log-normal       92     92     92     93
interval, t(5)             96     96     96     95
interval, Fieller, cv 0.5  95     95     95     95
test, normal               0.0    0.0    4.7    4.9
test, t(3)                 0.0    0.0    4.9    5.0
=========================  =====  =====  =====  =====

With three seeds no interval is shown, and with fewer than six the test cannot reach 5 %. The
modules have the full tables; ``tests/reports/statistics/simulations.py`` reproduces them.
"""
