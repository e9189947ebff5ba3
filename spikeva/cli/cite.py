"""``spikeva cite``: the references behind what you used."""

from argparse import ArgumentParser, Namespace

from spikeva.errors import UserError
from spikeva.registry import did_you_mean

SUMMARY = "Print BibTeX entries of what spikeva builds on: cite those that your study used."
EXAMPLES = """  spikeva cite
  spikeva cite tbr v2e
"""

REFERENCES = {
    "paper": """@misc{berlincioni2024neuromorphic,
  title  = {Neuromorphic Valence and Arousal Estimation},
  author = {Berlincioni, Lorenzo and Cultrera, Luca and Becattini, Federico and Del Bimbo, Alberto},
  year   = {2024},
  note   = {arXiv:2401.16058}
}""",
    "tbr": """@inproceedings{innocenti2020temporal,
  title     = {Temporal Binary Representation for Event-Based Action Recognition},
  author    = {Innocenti, Simone Undri and Becattini, Federico and Pernici, Federico and Del Bimbo, Alberto},
  booktitle = {International Conference on Pattern Recognition},
  year      = {2020},
  note      = {arXiv:2010.08946}
}""",
    "v2e": """@inproceedings{hu2021v2e,
  title     = {v2e: From Video Frames to Realistic {DVS} Events},
  author    = {Hu, Yuhuang and Liu, Shih-Chii and Delbruck, Tobi},
  booktitle = {CVPR Workshops},
  year      = {2021}
}""",
    "snntorch": """@article{eshraghian2023training,
  title   = {Training Spiking Neural Networks Using Lessons From Deep Learning},
  author  = {Eshraghian, Jason K. and others},
  journal = {Proceedings of the IEEE},
  volume  = {111},
  number  = {9},
  pages   = {1016--1054},
  year    = {2023}
}""",
    "norse": """@misc{pehle2021norse,
  title        = {Norse -- A deep learning library for spiking neural networks},
  author       = {Pehle, Christian and Pedersen, Jens Egholm},
  howpublished = {Zenodo},
  year         = {2021},
  doi          = {10.5281/zenodo.4422025}
}""",
    "tonic": """@misc{lenz2021tonic,
  title        = {Tonic: event-based datasets and transformations},
  author       = {Lenz, Gregor and Chaney, Kenneth and Shrestha, Sumit Bam and Oubari, Omar and Picaud, Serge and Zarrella, Guido},
  howpublished = {Zenodo},
  year         = {2021},
  doi          = {10.5281/zenodo.5079802}
}""",
    "nir": """@article{pedersen2024neuromorphic,
  title   = {Neuromorphic intermediate representation: A unified instruction set for interoperable brain-inspired computing},
  author  = {Pedersen, Jens E. and Abreu, Steven and Jobst, Matthias and Lenz, Gregor and Fra, Vittorio and Bauer, Felix Christian and Muir, Dylan Richard and Zhou, Peng and Vogginger, Bernhard and Heckel, Kade and Urgese, Gianvito and Shankar, Sadasivan and Stewart, Terrence C. and Sheik, Sadique and Eshraghian, Jason K.},
  journal = {Nature Communications},
  volume  = {15},
  pages   = {8122},
  year    = {2024},
  doi     = {10.1038/s41467-024-52259-9}
}""",
    "surrogate": """@article{neftci2019surrogate,
  title   = {Surrogate Gradient Learning in Spiking Neural Networks: Bringing the Power of Gradient-Based Optimization to Spiking Neural Networks},
  author  = {Neftci, Emre O. and Mostafa, Hesham and Zenke, Friedemann},
  journal = {IEEE Signal Processing Magazine},
  volume  = {36},
  number  = {6},
  pages   = {51--63},
  year    = {2019}
}""",
    "ms-resnet": """@article{hu2024advancing,
  title   = {Advancing Spiking Neural Networks Toward Deep Residual Learning},
  author  = {Hu, Yifan and Deng, Lei and Wu, Yujie and Yao, Man and Li, Guoqi},
  journal = {IEEE Transactions on Neural Networks and Learning Systems},
  year    = {2024},
  doi     = {10.1109/TNNLS.2024.3355393},
  note    = {arXiv:2112.08954}
}""",
    "sew-resnet": """@inproceedings{fang2021deep,
  title     = {Deep Residual Learning in Spiking Neural Networks},
  author    = {Fang, Wei and Yu, Zhaofei and Chen, Yanqi and Huang, Tiejun and Masquelier, Timoth{\\'e}e and Tian, Yonghong},
  booktitle = {Advances in Neural Information Processing Systems},
  year      = {2021},
  note      = {arXiv:2102.04159}
}""",
    "emonet": """@article{toisoul2021estimation,
  title   = {Estimation of continuous valence and arousal levels from faces in naturalistic conditions},
  author  = {Toisoul, Antoine and Kossaifi, Jean and Bulat, Adrian and Tzimiropoulos, Georgios and Pantic, Maja},
  journal = {Nature Machine Intelligence},
  volume  = {3},
  pages   = {42--50},
  year    = {2021}
}""",
    "ccc": """@article{lin1989concordance,
  title   = {A concordance correlation coefficient to evaluate reproducibility},
  author  = {Lin, Lawrence I-Kuei},
  journal = {Biometrics},
  volume  = {45},
  number  = {1},
  pages   = {255--268},
  year    = {1989},
  doi     = {10.2307/2532051}
}""",
    "holm": """@article{holm1979simple,
  title   = {A simple sequentially rejective multiple test procedure},
  author  = {Holm, Sture},
  journal = {Scandinavian Journal of Statistics},
  volume  = {6},
  number  = {2},
  pages   = {65--70},
  year    = {1979}
}""",
    "neurobench": """@article{yik2025neurobench,
  title   = {The {NeuroBench} framework for benchmarking neuromorphic computing algorithms and systems},
  author  = {Yik, Jason and others},
  journal = {Nature Communications},
  volume  = {16},
  year    = {2025}
}""",
    "energy": """@inproceedings{horowitz2014computing,
  title     = {Computing's energy problem (and what we can do about it)},
  author    = {Horowitz, Mark},
  booktitle = {IEEE International Solid-State Circuits Conference},
  pages     = {10--14},
  year      = {2014}
}""",
    "afew-va": """@article{kossaifi2017afew,
  title   = {{AFEW-VA} database for valence and arousal estimation in-the-wild},
  author  = {Kossaifi, Jean and Tzimiropoulos, Georgios and Todorovic, Sinisa and Pantic, Maja},
  journal = {Image and Vision Computing},
  volume  = {65},
  pages   = {23--36},
  year    = {2017}
}""",
    "nefer": """@inproceedings{berlincioni2023neuromorphic,
  title     = {Neuromorphic Event-Based Facial Expression Recognition},
  author    = {Berlincioni, Lorenzo and Cultrera, Luca and Albisani, Chiara and Cresti, Lisa and Leonardo, Andrea and Picchioni, Sara and Becattini, Federico and Del Bimbo, Alberto},
  booktitle = {CVPR Workshops},
  year      = {2023}
}""",
}


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("what", nargs="*", help=f"any of: {', '.join(REFERENCES)} (default: all)")


def run(args: Namespace) -> int:
    for name in args.what:
        if name not in REFERENCES:
            raise UserError(
                f"no reference {name!r}{did_you_mean(name, REFERENCES)} (there are: {', '.join(REFERENCES)})"
            )
    print("\n\n".join(REFERENCES[name] for name in args.what or REFERENCES))
    return 0
