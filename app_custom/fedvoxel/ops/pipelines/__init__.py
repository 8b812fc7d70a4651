"""From a job to a registered model in seven steps, each a thin call of what FedVoxel does by itself.

The steps keep a record of their own in the pipeline's folder, so that whatever runs them (a person, Kubeflow Pipelines
on this machine or on a cluster) goes on where they failed. Kubeflow is loaded in `kubeflow` alone.
"""
