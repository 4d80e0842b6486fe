from fijibridge.core.errors import BridgeError as BridgeError
from fijibridge.features.convolutional.settings import ConvSettings as ConvSettings
from fijibridge.features.extract import FeatureExtractor as FeatureExtractor
from fijibridge.features.extract import extract_features as extract_features
from fijibridge.features.presets import preset_settings as preset_settings
from fijibridge.features.settings import FeatureSettings as FeatureSettings
from fijibridge.features.stack import FeatureStack as FeatureStack
from fijibridge.features.tws.settings import TwsSettings as TwsSettings
from fijibridge.features.tws3d.settings import Tws3dSettings as Tws3dSettings
from fijibridge.features.vit.settings import VitSettings as VitSettings
from fijibridge.forest.forest import Forest as Forest
from fijibridge.frontends.imagej.session import start as start
from fijibridge.images.detectors import join_detectors as join_detectors
from fijibridge.images.image import Image as Image
from fijibridge.images.image import read_image as read_image
from fijibridge.images.volume import Volume as Volume
from fijibridge.images.volume import open_volume as open_volume
from fijibridge.labels.labels import Labels as Labels
from fijibridge.labels.reading import read_labels as read_labels
from fijibridge.operations.generate import generate as generate
from fijibridge.operations.train import train as train
from fijibridge.operations.volumes import segment_volume as segment_volume
from fijibridge.segmentation.clean_up import clean_up as clean_up
from fijibridge.segmentation.load import load_segmenter as load_segmenter
from fijibridge.segmentation.segmenter import PixelSegmenter as PixelSegmenter
from fijibridge.weights.encoders import list_encoders as list_encoders

__version__: str
