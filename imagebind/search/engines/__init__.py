"""Embedding beyond one process: inputs in parts, workers that do part after part, an output that grows.

    imagebind embed s3://bucket/media shards/*.tar --out s3://bucket/vectors --engine ray

or, from Python,

    job = prepare(["photos/a.jpg", "s3://bucket/sounds", "media.parquet", "shard-0000.tar"], "vectors")
    for part in embed(job, lambda device: Embedder(imagebind_huge(True, device=device))):
        print(part.number, part.embedded, part.failed)
    add_partitions(Index.open("media.lance", embedder, create=True), "vectors")

`inputs` cuts what there is into parts, `output` is the folder that they are written to, `worker` does one of
them by a method of `methods`, and `ray_engine` has many done at once. `to_index` and `crawl_ahead` bring what
they give into an index.

On many machines: install the same version of this package everywhere, with the extra `ray`; start Ray on one
of them, `ray start --head`, and on each other one, `ray start --address=HEAD:6379`, or all of them by
`ray up cluster.yaml`; then run the command on one of them with RAY_ADDRESS=HEAD:6379. Each machine has to
reach inputs, weights and output by the same names: a file system that they share, or an object store, with
credentials for it in the environment that Ray was started in. Where a cluster grows by itself, say --actors.

A run that ended early, however it did, goes on by the same command: parts that are there are not done again.
"""
