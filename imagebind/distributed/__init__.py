"""Embed files on many machines: inputs are divided into parts, and each worker writes its parts as files.

    imagebind embed s3://bucket/media shards/*.tar --out s3://bucket/vectors --engine ray

or, from Python,

    job = prepare(["photos/a.jpg", "s3://bucket/audio", "media.parquet", "shard-0000.tar"], "vectors")
    for part in embed(job, lambda device: Embedder(imagebind_huge(True, device=device))):
        print(part.number, part.embedded, part.failed)
    add_partitions(Index.open("media.lance", embedder, create=True), "vectors")

`job` has `prepare`, `ray_engine` has `embed`, and `to_index` has `add_partitions`. `inputs` divides the
inputs into parts, `shards` reads tar files, `output` is the output folder, and `worker` computes one part.
`crawl` embeds the files of a crawl.

On many machines: install the same version of this package everywhere, with the extra `ray`. Start Ray on one
machine with `ray start --head` and on each of the others with `ray start --address=HEAD:6379`, or on all with
`ray up cluster.yaml`. Then run the command on one machine with RAY_ADDRESS=HEAD:6379. Each machine must reach
inputs, weights and output by the same paths: on a shared file system, or in an object store whose credentials
are in the environment that Ray was started in. For a cluster that grows on demand, pass --actors.

The same command resumes a run that ended early: parts that are complete are not computed again.
"""
