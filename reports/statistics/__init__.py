"""Numbers over seeds: intervals, tests and ranks; plain numbers in, estimates out.

All tables, figures, sentences and pages, and ``palimpsest compare``, use these:

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
  Where there are several, Holm's correction is given, too (``pairs.holm``).
* **One rule for seeds that are far from all others** (``collapse.py``), for collapsed runs and
  unstable training.

With three seeds neither interval nor test is shown. The modules say how often their intervals cover
the true value and how often their tests find a difference where there is none;
``tests/reports/statistics/simulations.py`` reproduces these numbers.
"""
