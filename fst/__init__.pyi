from fst.batch.inference import stylise_video as stylise_video
from fst.collection import load_model as load_model
from fst.config import TrainingConfig as TrainingConfig
from fst.errors import UserError as UserError
from fst.gatys.options import GatysOptions as GatysOptions
from fst.models.network import build_network as build_network
from fst.models.perceptual import PerceptualLoss as PerceptualLoss
from fst.models.style_transfer import StyleTransfer as StyleTransfer
from fst.stylize import look as look
from fst.stylize.stylizer import Stylizer as Stylizer
from fst.stylize.stylizer import load as load
from fst.training.loop import train as train

from . import callbacks as callbacks
from . import gatys as gatys
from . import metrics as metrics

__version__: str
