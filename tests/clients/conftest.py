"""The programs here run in environments of their own (`make setup-test`), so pytest does not import them."""

collect_ignore_glob = ["*_client.py"]
