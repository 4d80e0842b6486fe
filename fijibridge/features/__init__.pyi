from fijibridge.features.convolutional.settings import ConvSettings as ConvSettings
from fijibridge.features.extract import FeatureExtractor as FeatureExtractor
from fijibridge.features.extract import extract_features as extract_features
from fijibridge.features.presets import preset_settings as preset_settings
from fijibridge.features.settings import FeatureSettings as FeatureSettings
from fijibridge.features.stack import FeatureStack as FeatureStack
from fijibridge.features.tws.settings import TwsSettings as TwsSettings
from fijibridge.features.vit.settings import VitSettings as VitSettings
