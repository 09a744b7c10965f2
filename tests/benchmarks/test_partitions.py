"""Seconds and memory of a similarity matrix and a point estimate: 4,000 draws of 5,000 items."""

import resource
import time

import numpy as np
import pytest

from pymc_dpsteps.partitions import coclustering, expected_loss, point_partition

N_DRAWS, N_ITEMS, N_CLUSTERS = 4_000, 5_000, 10


def posterior():
    """Draws of a mixture of overlapping normals in the plane, with up to two clusters more."""
    rng = np.random.default_rng(0)
    centers = rng.normal(0, 3, size=(N_CLUSTERS, 2))
    x = centers[rng.integers(0, N_CLUSTERS, N_ITEMS)] + rng.normal(size=(N_ITEMS, 2))
    labels = np.empty((N_DRAWS, N_ITEMS), dtype=np.int16)
    for s in range(N_DRAWS):
        moved = centers + rng.normal(0, 0.15, size=centers.shape)
        moved = np.concatenate([moved, x[rng.integers(0, N_ITEMS, rng.integers(0, 3))]])
        log_p = -0.5 * ((x[:, None] - moved) ** 2).sum(axis=-1)
        log_p[:, N_CLUSTERS:] -= 3
        labels[s] = (log_p + rng.gumbel(size=log_p.shape)).argmax(axis=1)
    return labels


@pytest.mark.benchmark
def test_partitions(record):
    point_partition(np.arange(12).reshape(4, 3), restarts=1)  # compiles
    labels = posterior()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    coclustering(labels)
    matrix = time.perf_counter()
    processor = time.process_time()
    point = point_partition(labels, random_seed=1)
    processor = time.process_time() - processor
    found = time.perf_counter()
    again = float(expected_loss(point, labels))
    done = time.perf_counter()
    assert again == pytest.approx(point.attrs["expected_loss"], rel=1e-9)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    record(
        "partitions",
        draws=N_DRAWS,
        items=N_ITEMS,
        similarity_matrix_s=matrix - start,
        point_partition_s=found - matrix,
        processor_s=processor,
        expected_loss_s=done - found,
        memory_gib=(peak - before) / 2**20,
    )
