from ml.toytown.files.benchmarks import WRITERS, write_benchmark


def test_a_folder_each_and_always_the_same(few, tmp_path):
    for run in ("a", "b"):
        for name in ("lvis", "relevance"):
            write_benchmark(tmp_path / run, few, name)
    files = {
        run: {p.relative_to(tmp_path / run): p.read_bytes() for p in (tmp_path / run).rglob("*") if p.is_file()}
        for run in ("a", "b")
    }
    assert files["a"] == files["b"]
    assert {path.parts[0] for path in files["a"]} == {"lvis", "relevance"} < set(WRITERS)
