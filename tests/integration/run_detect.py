"""A detect worker as a process, for the tests that kill it: `python -m tests.integration.run_detect`.

Arguments: KAFKA FOLDER WORKER REPLAY_S SHARED (yes or no). Logs to standard error; ends on SIGTERM as the
real service does.
"""

import asyncio
import logging
import signal
import sys
import time

from streams.detect import Detect


async def main(kafka: str, folder: str, worker: str, replay_s: str, shared: str) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    detect = Detect(
        kafka=kafka,
        snapshots=folder,
        shared=shared == "yes",
        worker=worker,
        now_us=lambda: time.time_ns() // 1_000,
        replay_s=float(replay_s),
    )
    await detect.run(stop)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    for chatty in ("aiokafka", "faust", "mode"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    asyncio.run(main(*sys.argv[1:]))
