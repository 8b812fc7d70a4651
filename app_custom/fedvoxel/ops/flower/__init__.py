"""FedVoxel beside Flower: a mod for an app that moves over, and our trainer and rounds for a plain Flower project.

In plain Flower nothing stands between an app and the server: no outbound filter, no policy that a job cannot loosen, no
ledger, no audit log, and the app itself comes from whoever starts the run. So what is here for plain Flower is for work
on data that may leave: there is no formal guarantee, and a cohort that its hospital protects is not trained on.
"""
