from fijibridge.segmentation.load import load_segmenter as load_segmenter
from fijibridge.segmentation.segmenter import PixelSegmenter as PixelSegmenter
