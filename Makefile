# make demo         environment, embedded data, figures of the committed weights, then all four stages trained here, with
#                   evaluation, figures, reports: stage 1 without a label, bodies off masks, joints, prior, bodies
# make shown        as far as the figures of the committed weights
# make test         all tests but the slow ones         make lint          ruff and mypy
# make table        recipes of stage 2 by the labels that they read, on 44 drawn people of its own (a day on 2 cores)
# make mesh_table   stage 4 with and without each loss
# make own CLIPS=clips/ CALIBRATION=Calib.toml     from your own cameras' clips to bodies, trained stages, a network for
#                   one view and a report; OWN="--video-size letterboxed" and so on adds settings
# make help         these lines                         make env           the environment alone, in .venv
# make clean        remove the embedded data and the demo's runs; your own runs stay
#
# Every target sets up .venv by itself.  A target that was broken off goes on where it stood; what an earlier version
# made by another recipe (fewer people, other settings) is completed, or begun anew, by the same command.

PYTHON ?= python3
BIN := .venv/bin
RUN := $(BIN)/python
NAME := demo
STAGE_1 := runs/enc_dec/$(NAME)
VIEWS := runs/enc_dec/$(NAME)_views
STAGE_2 := runs/pose/$(NAME)
STAGE_3 := runs/gan/$(NAME)
STAGE_4 := runs/mesh/$(NAME)
FITS := runs/fit/$(NAME)
# Trainings, tests and fits of the demo take one thread each, and so many of them run at once: as batches are small, two
# trainings beside each other are quicker than one after the other, each on two cores.
JOBS ?= $(shell $(PYTHON) -c 'import os; print(min(2, len(os.sched_getaffinity(0))))')
RECIPE := --name $(NAME) --optim.bf16 --loop.threads 1
STEPS_1 ?= 5000
STEPS_2 ?= 3600
STEPS_VIEWS ?= 1500
STEPS_4 ?= 600
# people without labels beside S5 to S8, one sub-action each: looks of their own are what new people ask for
MORE := $(shell seq 121 132)
PEOPLE := --subjects.train 1 5 6 7 8 $(MORE)
SEEDS ?= 0 1
# What is done is marked by a file whose name tells by which recipe: a sum over its words.
tag = $(firstword $(shell echo '$(strip $(1))' | cksum))
define MAKE_DATA
$(RUN) dataset_def/synthetic/make_h36m.py
$(RUN) dataset_def/synthetic/make_h36m.py --subactions 1 --subjects $(MORE)
$(RUN) dataset_def/h36m_preprocess.py
$(RUN) dataset_def/h36m_get_background.py
endef
DATA := data/synthetic/ready_$(call tag,$(MAKE_DATA))
SETTINGS_1 := $(RECIPE) $(PEOPLE) --optim.steps $(STEPS_1) --in-memory
SETTINGS_2 := $(RECIPE) $(PEOPLE) --optim.steps $(STEPS_2) --batch 48 --in-memory --encoder-lr-factor 1
SETTINGS_POINTS := --preset views --mode embeddings --name $(NAME)_points
SETTINGS_3 := --name $(NAME) --loop.threads 1
SETTINGS_4 := $(RECIPE) $(PEOPLE) --optim.steps $(STEPS_4) --in-memory
SETTINGS_VIEWS := --preset novel_views --name $(NAME)_views $(PEOPLE) --optim.bf16 --optim.steps $(STEPS_VIEWS) --loop.threads 1
SETTINGS_FITS := --subjects 5 6 7 8 $(MORE) --name $(NAME)
DONE_1 := $(STAGE_1)/trained_$(call tag,$(SETTINGS_1))
DONE_2 := $(STAGE_2)/trained_$(call tag,$(SETTINGS_2))
DONE_POINTS := $(STAGE_2)_points/trained_$(call tag,$(SETTINGS_POINTS))
DONE_3 := $(STAGE_3)/trained_$(call tag,$(SETTINGS_3))
DONE_4 := $(STAGE_4)/trained_$(call tag,$(SETTINGS_4))
DONE_VIEWS := $(VIEWS)/trained_$(call tag,$(SETTINGS_VIEWS))
DONE_FITS := $(FITS)/fitted_$(call tag,$(SETTINGS_FITS))
WEIGHTS := models/assets/open_weights.pt
POSE_WEIGHTS := models/assets/open_pose.pt
BODY_WEIGHTS := models/assets/open_body_maps.pt
PRIOR_WEIGHTS := models/assets/open_prior.pt
# people of the table: who trains (S1 has labels), who chooses checkpoints, who is tested
TABLE := data/table
TRAINED := 1 5 6 7 8 $(shell seq 121 147)
CHOOSERS := 111 112 113 114
TESTED := 9 11 101 102 103 104 105 106
TABLE_PEOPLE := --subjects.train $(TRAINED) --subjects.test $(TESTED)
STEPS_TABLE ?= 16000
define MAKE_TABLE
$(RUN) dataset_def/synthetic/make_h36m.py --dataset $(TABLE)
$(RUN) dataset_def/synthetic/make_h36m.py --dataset $(TABLE) --subactions 1 --subjects $(wordlist 6,99,$(TRAINED)) $(CHOOSERS) $(wordlist 3,99,$(TESTED))
$(RUN) dataset_def/h36m_preprocess.py --dataset $(TABLE) --pack-px 160 --pack-side-m 3.5
$(RUN) dataset_def/h36m_get_background.py --dataset $(TABLE)
endef
TABLE_DATA := $(TABLE)/ready_$(call tag,$(MAKE_TABLE))
TABLE_SETTINGS := $(TABLE_PEOPLE) --name table --encoder.points 48 --teaching.ropes.at 0.6 --optim.bf16 --optim.steps $(STEPS_TABLE)
TABLE_FITS := --name table --subjects $(wordlist 2,99,$(TRAINED)) --people.test $(TESTED) --every 2
TABLE_DONE_1 := runs/enc_dec/table/trained_$(call tag,$(TABLE_SETTINGS))
TABLE_DONE_FITS := runs/fit/table/fitted_$(call tag,$(TABLE_FITS))
# A training goes on where it stood if it was begun by this recipe and all that it reads is older than its checkpoint.
begun = $(@D).begun_$(lastword $(subst _, ,$(@F)))
goes_on = $(shell find $(@D)/checkpoint_last.pt $(addprefix -newer ,$(begun) $^) 2>/dev/null)
go_on = $(if $(goes_on),--loop.resume,--loop.overwrite)
begin = @$(if $(goes_on),true,mkdir -p $(dir $(@D)) && rm -f $(@D).begun_* && touch $(begun))
done = @rm -f $(@D)/$(firstword $(subst _, ,$(@F)))* && touch $@

ifndef BESIDE
.NOTPARALLEL:
endif
.PHONY: help demo shown trained test_points test_joints test_views test_prior test_bodies table mesh_table own test lint clean env
.DELETE_ON_ERROR:

demo: trained
	$(RUN) sample/make_figures.py --enc-dec $(VIEWS) --pose $(STAGE_2) --gan $(STAGE_3) --mesh $(STAGE_4) --prefix demo_
	$(RUN) sample/report.py $(STAGE_1)
	$(RUN) sample/report.py $(VIEWS)
	$(RUN) sample/report.py $(STAGE_2)
	$(RUN) sample/report.py $(STAGE_3)
	$(RUN) sample/report.py $(STAGE_4)

# In this order, as soon as all that they read is there: what others wait for longest comes first.
trained: $(DATA)
	@OMP_NUM_THREADS=1 $(MAKE) --no-print-directory BESIDE=1 --jobs $(JOBS) $(DONE_1) shown $(DONE_FITS) $(DONE_3) $(DONE_2) $(DONE_4) $(DONE_VIEWS) \
	  test_views test_points test_prior test_joints test_bodies

shown: $(DATA)
	@echo "What the weights that come with the repository (models/assets) make of the test subjects."
	$(RUN) sample/test_enc_dec.py --checkpoint $(WEIGHTS) --max-pairs 600 --out runs/enc_dec/open_weights
	$(RUN) sample/test_pose.py --checkpoint $(POSE_WEIGHTS) --every 4 --out runs/pose/open_weights
	$(RUN) sample/test_SMPL.py --checkpoint $(BODY_WEIGHTS) --prior $(PRIOR_WEIGHTS) --every 8 --out runs/mesh/open_weights
	$(RUN) sample/make_figures.py --enc-dec runs/enc_dec/open_weights --pose runs/pose/open_weights --mesh runs/mesh/open_weights --prefix open_weights_
	@echo "Look at runs/figures/open_weights_*.png.  The four stages are trained here meanwhile; each says after its first steps about how long it takes."

test_views: $(DONE_VIEWS)
	$(RUN) sample/test_enc_dec.py --checkpoint $(VIEWS)/checkpoint_best.pt --max-pairs 600

test_points: $(DONE_POINTS)
	$(RUN) sample/test_pose.py --checkpoint $(STAGE_2)_points/checkpoint_best.pt --every 4

test_joints: $(DONE_2)
	$(RUN) sample/test_pose.py --checkpoint $(STAGE_2)/checkpoint_best.pt
	$(RUN) sample/test_pose.py --checkpoint $(STAGE_2)/checkpoint_best.pt --centre pelvis --every 4
	$(RUN) sample/test_pose.py --checkpoint $(STAGE_2)/checkpoint_best.pt --centre box --every 4

test_prior: $(DONE_3)
	$(RUN) sample/test_GAN.py --checkpoint $(STAGE_3)/checkpoint_best.pt

test_bodies: $(DONE_4)
	$(RUN) sample/test_SMPL.py --checkpoint $(STAGE_4)/checkpoint_best.pt --prior $(STAGE_3)/checkpoint_best.pt --every 2

table: $(TABLE_DONE_1) $(TABLE_DONE_FITS)
	$(RUN) sample/tools/label_curve.py --dataset $(TABLE) $(TABLE_PEOPLE) --subjects.validation $(CHOOSERS) --seeds $(SEEDS) \
	  --stage-1 runs/enc_dec/table/checkpoint_best.pt --fits runs/fit/table/pseudo_labels.npz

mesh_table: $(DATA)
	$(RUN) sample/tools/mesh_ablation.py --encoder $(WEIGHTS) --prior $(PRIOR_WEIGHTS) --seeds $(SEEDS)

own: .venv/ready_keypoints
	@test -n "$(CLIPS)" && test -n "$(CALIBRATION)" || { echo "name both: make own CLIPS=clips/ CALIBRATION=Calib.toml"; exit 2; }
	$(RUN) sample/tools/own_recording.py $(CLIPS) --calibration $(CALIBRATION) $(OWN)

test: .venv/ready_dev
	OMP_NUM_THREADS=1 $(BIN)/pytest -m "not slow and not gpu" --numprocesses auto --dist loadfile

lint: .venv/ready_dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy config.py utils models dataset_def

clean:
	rm -rf data/synthetic data/poses $(STAGE_1) $(VIEWS) $(STAGE_2) $(STAGE_2)_points $(STAGE_3) $(STAGE_4) $(FITS) runs/*/$(NAME)*.begun_* runs/figures runs/*/open_weights .mypy_cache .pytest_cache .ruff_cache

env: .venv/ready

help:  # the head of this file
	@sed -n '/^#/!q; s/^# \{0,1\}//p' $(firstword $(MAKEFILE_LIST))

.venv/ready: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name one: make PYTHON=...")'
	test -x $(RUN) || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

.venv/ready_keypoints: .venv/ready
	$(BIN)/pip install --quiet --disable-pip-version-check -e ".[keypoints]"
	$(RUN) dataset_def/photos/person.py
	touch $@

.venv/ready_dev: .venv/ready
	$(BIN)/pip install --quiet --disable-pip-version-check -e ".[dev]"
	touch $@

$(DATA): | .venv/ready
	$(MAKE_DATA)
	$(done)

$(DONE_1): $(DATA)
	@echo "Stage 1 of 4: points that turn as people do, taught by views and masks; no label."
	$(begin)
	$(RUN) sample/train_enc_dec.py $(SETTINGS_1) $(go_on)
	$(done)

$(STAGE_1)/embeddings.pkl: $(DONE_1)
	$(RUN) sample/save_embeddings.py --checkpoint $(STAGE_1)/checkpoint_best.pt

$(DONE_POINTS): $(STAGE_1)/embeddings.pkl
	@echo "Stage 2 of 4, first as in the paper: joints of S1 read off the stored points of stage 1."
	$(begin)
	$(RUN) sample/train_3d_pose_from_enc.py $(SETTINGS_POINTS) --encoder $(STAGE_1)/checkpoint_best.pt --embeddings $(STAGE_1)/embeddings.pkl $(go_on)
	$(done)

$(DONE_FITS): $(DATA)
	@echo "Bodies off the masks of all but S1, whose joints are not read: labels for stages 2 and 4."
	$(RUN) sample/fit_SMPL.py $(SETTINGS_FITS) --processes 1
	$(done)

$(DONE_2): $(DONE_1) $(DONE_FITS)
	@echo "Stage 2 of 4: joints found in the image, all layers of stage 1 trained on S1's joints and those bodies'."
	$(begin)
	$(RUN) sample/train_3d_pose_from_enc.py --encoder $(STAGE_1)/checkpoint_best.pt $(SETTINGS_2) --pseudo-labels $(FITS)/pseudo_labels.npz $(go_on)
	$(done)

$(DONE_VIEWS): $(DONE_1)
	@echo "Behind stage 1: what draws novel views of its points, which stay as they are."
	$(begin)
	$(RUN) sample/train_enc_dec.py $(SETTINGS_VIEWS) --start-from $(STAGE_1)/checkpoint_best.pt $(go_on)
	$(done)

$(TABLE_DATA): | .venv/ready
	$(MAKE_TABLE)
	$(done)

$(TABLE_DONE_1): $(TABLE_DATA)
	$(begin)
	$(RUN) sample/train_enc_dec.py --dataset $(TABLE) $(TABLE_SETTINGS) $(go_on)
	$(done)

$(TABLE_DONE_FITS): $(TABLE_DATA)
	$(RUN) sample/fit_SMPL.py --dataset $(TABLE) $(TABLE_FITS)
	$(done)

$(DONE_3): | .venv/ready
	@echo "Stage 3 of 4: the prior."
	$(begin)
	$(RUN) sample/train_GAN.py $(SETTINGS_3) $(go_on)
	$(done)

$(DONE_4): $(DONE_2) $(DONE_3)
	@echo "Stage 4 of 4: bodies."
	$(begin)
	$(RUN) sample/train_SMPL_from_enc.py --encoder $(STAGE_2)/checkpoint_best.pt --prior $(STAGE_3)/checkpoint_best.pt $(SETTINGS_4) \
	  --pseudo-labels $(FITS)/pseudo_labels.npz $(go_on)
	$(done)
