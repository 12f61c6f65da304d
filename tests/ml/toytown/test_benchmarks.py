from ml.toytown.benchmarks import WRITERS, write_benchmarks


def test_only_the_named_appear_and_always_the_same(few, tmp_path):
    for run in ("a", "b"):
        write_benchmarks(tmp_path / run, ["lvis", "relevance"], few)
    files = {
        run: {p.relative_to(tmp_path / run): p.read_bytes() for p in (tmp_path / run).rglob("*") if p.is_file()}
        for run in ("a", "b")
    }
    assert files["a"] == files["b"]
    assert {path.parts[0] for path in files["a"]} == {"lvis", "relevance"} < set(WRITERS)
