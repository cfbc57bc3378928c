"""`coreface-convert`: a published AdaFace or ArcFace checkpoint becomes an installed pack."""

from __future__ import annotations

from pathlib import Path

from models.backbones.checkpoints import load_checkpoint
from models.backbones.conversion import convert_to_pack
from models.commands import command_parser, named_pack
from service.errors import CorefaceError
from service.runtime.manifest import License
from service.settings import Settings


def main(arguments: list[str] | None = None) -> None:
    """Nothing is installed where the file is no such network."""
    parser = command_parser(
        "coreface-convert",
        "Make a pack of a published IR-18, 34, 50 or 101 checkpoint of AdaFace or ArcFace: export it to "
        "ONNX for any batch size, compare it with PyTorch, and put a detector and an untrained aggregator beside it.",
    )
    parser.add_argument("--checkpoint", type=Path, required=True, help=".ckpt, .pt, .pth or .safetensors")
    parser.add_argument("--name", required=True, help="of the new pack, such as adaface-ir101")
    parser.add_argument("--detector-of", default="opencv-sface", help="installed pack, or its directory")
    parser.add_argument("--license", default="LicenseRef-Unknown", help="SPDX identifier of the checkpoint's licence")
    parser.add_argument("--commercial-use", action="store_true", help="the licence allows commercial use")
    parser.add_argument("--packs", type=Path, help="directory of installed packs; default: the service's")
    options = parser.parse_args(arguments)
    detector = named_pack(options.detector_of)
    terms = License(
        spdx=options.license,
        commercial_use=options.commercial_use and detector.manifest.license.commercial_use,
        acceptance_required=False,
        notice=f"Embedder converted from {options.checkpoint.name}, under the terms of its authors; "
        f"detector: {detector.manifest.license.notice}",
    )
    try:
        pack = convert_to_pack(
            load_checkpoint(options.checkpoint),
            name=options.name,
            detector_of=detector,
            terms=terms,
            packs_path=options.packs or Settings().packs_path,
        )
    except ValueError as error:
        parser.exit(2, f"coreface-convert: {error}\n")
    except CorefaceError as error:
        parser.exit(2, f"coreface-convert: {error.detail}\n")
    print(f"{pack.directory}: fingerprint {pack.fingerprint}; it decides once it is calibrated")


if __name__ == "__main__":
    main()
