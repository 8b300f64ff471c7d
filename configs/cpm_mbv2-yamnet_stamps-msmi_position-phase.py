_base_ = "./cpm_mbv2-yamnet_stamps-msmi_position.py"

# Where is heard in the delay between the channels, too, which recordings of two microphones have.
model = dict(
    data_preprocessor=dict(cross_spectrum=True),
    decode_head=dict(stereo_position=dict(type="PhasePosition")),
)
