from palimpsest.reports.html.anchors import ALL, anchor


def test_a_plain_name_stays_readable():
    assert anchor("turned_digits") == "turned-digits"
    assert anchor("split") == "split"


def test_no_two_names_have_one_anchor():
    names = ["a_b", "a-b", "a b", "A_B", "a_b_", "ä_b", "", " ", "日本", "日光", ALL, "all_"]
    names += ["x" * 40, "x" * 41, "x" * 42, "\ud800"]
    found = [anchor(name) for name in names]
    assert len(set(found)) == len(names)
    assert ALL not in found
    assert all(one.replace("-", "").isalnum() and one.isascii() for one in found)
