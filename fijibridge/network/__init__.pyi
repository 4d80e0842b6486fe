from fijibridge.network.file import load_network as load_network
from fijibridge.network.file import save_network as save_network
from fijibridge.network.network import Network as Network
from fijibridge.network.onnx_export import export_onnx as export_onnx
from fijibridge.network.settings import NetworkSettings as NetworkSettings
from fijibridge.network.training import fine_tune as fine_tune
from fijibridge.network.training import train_network as train_network
