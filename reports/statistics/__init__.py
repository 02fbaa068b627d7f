"""Numbers over seeds: intervals, tests and ranks; plain numbers in, estimates out.

Which interval and which test there are, in every table, figure and sentence, in ``compare`` and on
pages, is said here and nowhere else:

* **One interval**, 95 %: Student's, from the spread of whole seeds, cut off at the ends of what the
  number can be (``interval.py``). A mean has its standard error from the textbook; an interquartile
  mean, a median and a hypervolume have theirs from a bootstrap over seeds (``bootstrap.py``). A
  share of fine-tuning's forgetting, a ratio of means, has Fieller's (``ratio.py``). Below
  ``interval.FEWEST_SEEDS`` seeds the seeds themselves stand in its place.
* **One paired test**: the sign-flip test of whole seeds (``permutation.sign_flip``), for pairs of
  runs with the same seed (``pairs.py``), corrected by Holm's method where several stand together
  (``holm.py``). Stores without seeds in common have the permutation test of two groups
  (``permutation.two_groups``, ``two_samples.py``).
* **One rule for seeds that are far from all others** (``collapse.py``), for collapsed runs and
  unstable training.

Measured in 20,000 simulations each (Fieller's: 4,000), per cent: how often the interval covers the
truth, and how often the test at 5 % finds a difference where there is none (three scenarios,
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
modules have the whole tables; ``tests/reports/statistics/simulations.py`` makes them again.
"""
