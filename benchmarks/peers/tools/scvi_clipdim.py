"""scVI of the RNA in place of its principal components, then clipdim."""

import scvi

import clipdim
from benchmarks.peers import inputs
from benchmarks.peers.peer import CannotRunError, Embedded, Job, Peer
from benchmarks.peers.tools import clipdim_
from benchmarks.peers.tools.totalvi import QUICK_EPOCHS, quiet


def prepare(job: Job) -> None:
    """Keep the RNA's counts; components of the proteins."""
    if not job.data.has_counts:
        msg = "no RNA counts; the RNA of these cells is an scVI latent already, see clipdim"
        raise CannotRunError(msg)
    inputs.preprocess(job)


def fit(job: Job, prepared: None) -> scvi.model.SCVI:
    """Train scVI for its default number of epochs, then clipdim."""
    scvi.settings.seed = job.seed
    rna = job.known["rna"]
    if job.data.batch is not None:
        rna.obs["batch"] = job.known.obs[job.data.batch].reindex(rna.obs_names).astype(str)
    scvi.model.SCVI.setup_anndata(rna, layer="counts", batch_key=None if job.data.batch is None else "batch")
    model = scvi.model.SCVI(rna)
    model.train(**quiet(job), max_epochs=QUICK_EPOCHS if job.quick else None)
    rna.obsm["X_scVI"] = model.get_latent_representation()
    reps = {"rna": "X_scVI", "prot": "X_pca"}
    clipdim.tl.fit(job.known, use_rep=reps, batch_key=job.data.batch, random_state=job.seed, progress=False)
    return model


def embed(job: Job, prepared: None, model: scvi.model.SCVI) -> Embedded:
    """Embed the new cells by both."""
    rna = job.new["rna"]
    if job.data.batch is not None:
        rna.obs["batch"] = job.new.obs[job.data.batch].reindex(rna.obs_names).astype(str)
    rna.obsm["X_scVI"] = model.get_latent_representation(rna)
    return clipdim_.embed(job, prepared, None)


PEER = Peer(
    prepare=prepare,
    fit=fit,
    embed=embed,
    settings="scVI: 10 dimensions, default epochs; then clipdim's defaults",
    new_cells="both, RNA, protein",
)
