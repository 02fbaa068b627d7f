"""Numbers over seeds: intervals, tests and ranks; plain numbers in, estimates out.

The intervals and tests of every table, figure, sentence and page, and of ``compare``; this is the
one list of them:

* **One interval**, 95 %: Student's, from the spread of whole seeds, clipped to the range of the
  number (``interval.py``). The standard error of a mean is the textbook's; that of an interquartile
  mean, a median or a hypervolume is found by a bootstrap over seeds (``bootstrap.py``). A share of
  fine-tuning's forgetting, which is a ratio of means, has Fieller's interval (``ratio.py``). With
  fewer than ``interval.FEWEST_SEEDS`` seeds, the values of the seeds are shown instead. A
  performance profile has the interval of a mean at each threshold (``profile.py``).
* **One test**: the one that the interval inverts, so that p is below 5 % where the interval
  excludes zero, and nowhere else (``Estimate.p``). Of pairs of runs with the same seed it is the
  paired t-test, over several scenarios of whole seeds (``pairs.py``); of a ratio of means
  Fieller's at zero (``ratio.py``); of stores without seeds in common Welch's (``two_samples.py``).
  Where there are several, Holm's correction stands beside it, by its name (``holm.py``).
* **One rule for seeds that are far from all others** (``collapse.py``), for collapsed runs and
  unstable training.

Measured by simulation (20,000 each; Fieller's 4,000), per cent: how often the interval covers the
true value. In the other cases the test at 5 % finds a difference where there is none:

=========================  =====  =====  =====  =====
seeds                      n=3    n=5    n=10   n=20
=========================  =====  =====  =====  =====
interval, normal           95     95     95     95
interval, beta(18, 2)      93     92     93     94
interval, beta(48, 2)      92     92     92     93
interval, log-normal       92     92     92     93
interval, t(5)             96     96     96     95
interval, Fieller, cv 0.5  95     95     95     95
=========================  =====  =====  =====  =====

With three seeds neither interval nor test is shown. The modules have the full tables;
``tests/reports/statistics/simulations.py`` reproduces them.
"""
